"""Playing a scenario: the same at every height."""

from __future__ import annotations

from tests.support.accounts.account import Account, Body, Fee, Invoice
from tests.support.scenarios import Scenario, Step, differences


def play(scenario: Scenario, account: Account) -> None:
    """From an empty organization to the end of the price sheet."""
    account.open(scenario.starts_at, **scenario.organization)
    for tax in scenario.taxes:
        account.tax(tax)
    account.customer(**scenario.customer)
    for metric in scenario.metrics:
        account.metric(metric)
    for plan in scenario.plans:
        account.plan(plan)
    for coupon in scenario.coupons:
        account.coupon(coupon)
    account.subscribe(scenario.plan["code"], **scenario.subscription)
    now = scenario.starts_at
    for step in scenario.steps:
        if step.at > now:
            now = step.at
            account.advance(now)
        _do(step, account, scenario)
    account.advance(scenario.ends_at)


def _do(step: Step, account: Account, scenario: Scenario) -> None:
    if step.events:
        account.use(step.events)
    _do_to_the_subscription(step.do, account, scenario.subscription["external_id"])
    _do_with_money(step.do, account, scenario.plan["amount_currency"])


def _do_to_the_subscription(do: Body, account: Account, external_id: str) -> None:
    credit = do.get("credit", "credit")
    if "plan" in do:
        account.change(do["plan"], when=do.get("when", ""), credit=credit, external_id=external_id)
    if "cancel" in do:
        account.cancel(when=do["cancel"], credit=credit, external_id=external_id)
    if "version" in do:
        account.plan(do["version"])
        account.migrate(do["version"]["code"])
    if "withdraw" in do:
        account.withdraw(external_id=external_id)
    if "void" in do:
        account.void(do["void"], do.get("replacement"))


def _do_with_money(do: Body, account: Account, currency: str) -> None:
    if "coupon" in do:
        account.hold(do["coupon"])
    if "pay" in do:
        invoice = account.invoices()[do["pay"] - 1]
        account.pay(invoice, do.get("amount_cents", invoice.total_cents))
    if "sell" in do:
        account.sell(do["sell"], currency)
    if "give_back" in do:
        invoice = account.invoices()[do["give_back"] - 1]
        account.credit(invoice, [(_fee(invoice, do), do["amount_cents"])])


def _fee(invoice: Invoice, do: Body) -> Fee:
    """The fee of an invoice that a step names by its type, and its code where it has one."""
    (found,) = [fee for fee in invoice.fees if (fee.type, fee.code) == (do["type"], do.get("code", ""))]
    return found


def wrong(scenario: Scenario, account: Account) -> list[str]:
    """Everything that differs from the price sheet."""
    invoices = [invoice for invoice in account.invoices() if any(fee.amount_cents for fee in invoice.fees)]
    found = differences([invoice.line() for invoice in invoices], scenario.invoices)
    found += [f"an invoice is {invoice.state}" for invoice in invoices if invoice.state == "draft"]
    if scenario.credit_notes is None:
        return found
    notes: list[Body] = [note.line() for note in account.credit_notes()]
    return [*found, *(f"credit note {text}" for text in differences(notes, scenario.credit_notes))]
