"""The seeds' story on a real Farebox: `make demo`, or `python examples/demo.py --help`.

Starts PostgreSQL, NATS, the four services and the gateway, plays a month of a business that sells API calls and LLM
tokens, and compares every number with its own. The SDK is nozle-sdk from PyPI, unmodified. Exits 0 when all agree.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from nozle import Nozle

from examples.story import price_sheet, traffic
from examples.story.accident import Accident, progress_bar
from examples.story.price_sheet import API_CALL_LIMIT, PLAN_CODE, PROVIDER_RATES, Usage
from examples.story.report import Report, dollars, exact_dollars
from farebox.testing import Farebox, FareboxServer, Rest
from services.chassis.provision import SERVICES
from services.chassis.wait import wait_until
from services.local.stack import Stack
from services.local.stack_options import StackOptions

DATA_DIR = Path(".farebox") / "demo"
EVENT_COUNT = 3000
SEED = 7
CUSTOMER, SUBSCRIPTION = "customer_123", "sub_abc"
# The request body of Nozle's documentation, byte by byte (seed: event pipeline).
SEED_REQUEST = """{
  "event": {
    "transaction_id": "unique-id",
    "external_customer_id": "customer_123",
    "code": "api_call",
    "properties": { "model": "gpt-4", "tokens": 1500 },
    "external_subscription_id": "sub_abc",
    "timestamp": "2024-01-15T10:30:00Z"
  }
}"""
MONTH_BEGINS, EVENTS_SENT_AT, MONTH_ENDS = "2024-01-01T00:00:00Z", "2024-01-20T00:00:00Z", "2024-02-01T00:00:00Z"
# Usage is visible within a second; after a kill it may take a restart and a replay.
SETTLE_SECONDS = 30.0
# A killed service is back before the SDK gives up: 12 tries, each waiting up to ten seconds.
SDK_RETRIES = 12


class Demo:
    """One run of the story.

    Attributes:
        report: what was shown and found.
    """

    def __init__(self, stack: Stack, event_count: int, victim: str | None) -> None:
        self.report = Report()
        self._stack = stack
        self._victim = victim
        self._events = traffic.month(event_count, SEED)
        self._usages = traffic.count_usage(self._events)
        # The seed's own event is one more API call of its customer.
        self._usages[CUSTOMER].api_calls += 1

    def play(self) -> None:
        """Everything in order."""
        with FareboxServer.on(self._stack) as server, self._organization(server) as organization:
            rest, nozle = organization.rest, self._nozle(organization)
            self._catalog(rest, organization)
            self._checkout(rest, nozle)
            self._seed_request(rest)
            self._month(rest, organization)
            self._current_usage(nozle)
            self._access(nozle)
            self._invoices(rest, nozle)
            self._margins(nozle)

    @staticmethod
    def _nozle(organization: Farebox) -> Nozle:
        return Nozle(api_key=organization.secret_key, host=organization.url, max_retries=SDK_RETRIES)

    def _organization(self, server: FareboxServer) -> Farebox:
        self.report.step("An organization and its keys (gRPC, as its operator)")
        organization = server.new_organization("Acme AI")
        self.report.say(f"organization {organization.organization_id}, key {organization.secret_key[:12]}…")
        return organization

    def _catalog(self, rest: Rest, organization: Farebox) -> None:
        self.report.step(f"What is sold (test clock at {MONTH_BEGINS})")
        rest.post("/test_clock", {"now": MONTH_BEGINS})
        for metric in price_sheet.METRICS:
            rest.post("/billable_metrics", {"billable_metric": metric})
        for feature in price_sheet.FEATURES:
            rest.post("/features", {"feature": feature})
        rest.post("/plans", {"plan": price_sheet.PLAN})
        rest.post("/cost-models", price_sheet.COST_MODEL)
        plans = Nozle(api_key=organization.publishable_key, host=organization.url).plans()
        self.report.check(
            "plans a browser sees with the publishable key", [PLAN_CODE], [plan["code"] for plan in plans]
        )

    def _checkout(self, rest: Rest, nozle: Nozle) -> None:
        self.report.step("Checkout (nozle-sdk)")
        for customer, subscription in traffic.CUSTOMERS.items():
            nozle.customers.upsert(customer, name=customer.replace("_", " ").title())
            result: Any = nozle.checkout(customer, PLAN_CODE, subscription_id=subscription)
            self.report.check(f"checkout of {customer}", "completed", result["type"])
        rest.post("/test_clock/advance", {"to": EVENTS_SENT_AT})
        self.report.say(f"the clock moves to {EVENTS_SENT_AT}")

    def _seed_request(self, rest: Rest) -> None:
        self.report.step("The seed's request, word for word, twice")
        first = rest.post_text("/events", SEED_REQUEST)["event"]
        again = rest.post_text("/events", SEED_REQUEST)["event"]
        self.report.check("first time", "accepted", first["status"])
        self.report.check("second time", "duplicate", again["status"])

    def _month(self, rest: Rest, organization: Farebox) -> None:
        self.report.step("A month of events, some of them sent twice (nozle-sdk track, and batches of 100)")
        total = len(self._events) + len(self._events[:: traffic.REPEAT_EVERY])
        with progress_bar(self.report, total) as advance:
            accident = Accident(self._stack, self._victim, after=total // 2)
            began = time.monotonic()
            sent = traffic.send(self._events, lambda: self._nozle(organization), rest, accident.watch(advance))
            seconds = time.monotonic() - began
            accident.wait()
        self.report.say(f"{sent} events sent in {seconds:.1f} s, {len(self._events)} of them different")
        if self._victim:
            self.report.say(f"[yellow]{self._victim} was killed (-9) half-way and started again[/]")

    def _current_usage(self, nozle: Nozle) -> None:
        self.report.step("Current usage")
        for customer, subscription in traffic.CUSTOMERS.items():
            usage, fees = self._usages[customer], self._usages[customer].fees_cents()
            asked = partial(nozle.current_usage, customer, subscription)
            charges = _by_metric(_eventually(asked, partial(_has_units, usage)))
            self.report.check(f"{customer}: API calls", usage.api_calls, int(charges["api_call"]["units"]))
            self.report.check(f"{customer}: tokens", usage.all_tokens, int(charges["llm_tokens"]["units"]))
            amounts = {code: charge["amount_cents"] for code, charge in charges.items()}
            self.report.check(
                f"{customer}: priced, in cents", {code: fees[code] for code in ("api_call", "llm_tokens")}, amounts
            )

    def _access(self, nozle: Nozle) -> None:
        self.report.step("can() (nozle-sdk)")
        for feature, expected in (("analytics", (True, "within_limit")), ("sso", (False, "feature_not_in_plan"))):
            access: Any = nozle.can(CUSTOMER, feature)
            self.report.check(f"{feature}: allowed, reason", expected, (access["allowed"], access["reason"]))
        used = self._usages[CUSTOMER].api_calls
        access = _eventually(lambda: nozle.can(CUSTOMER, "api-calls"), lambda answer: answer["used"] == used)
        limited = (used < API_CALL_LIMIT, used, API_CALL_LIMIT, max(0, API_CALL_LIMIT - used))
        actual = (access["allowed"], access["used"], access["limit"], access["remaining"])
        self.report.check("api-calls: allowed, used, limit, remaining", limited, actual)

    def _invoices(self, rest: Rest, nozle: Nozle) -> None:
        self.report.step(f"The month ends: the clock moves to {MONTH_ENDS}")
        advanced = rest.post("/test_clock/advance", {"to": MONTH_ENDS})["test_clock"]
        self.report.check("periods closed", len(traffic.CUSTOMERS), advanced["closed_periods_count"])
        for customer, usage in self._usages.items():
            listed = nozle.invoices.list(customer)["invoices"]
            self.report.check(f"{customer}: invoices", 1, len(listed))
            self._invoice(customer, usage, nozle.invoices.get(listed[0]["nozle_id"]))

    def _invoice(self, customer: str, usage: Usage, invoice: Any) -> None:
        rows = [[fee["item"]["name"], fee["units"], dollars(fee["amount_cents"])] for fee in invoice["fees"]]
        total = ["[bold]total[/]", "", f"[bold]{dollars(invoice['total_amount_cents'])}[/]"]
        title = f"Invoice {invoice['number']} of {invoice['issuing_date']} for {customer}"
        self.report.table(title, ["item", "units", "amount"], [*rows, total])
        fees = {fee["item"]["code"]: fee["amount_cents"] for fee in invoice["fees"] if fee["fee_type"] == "charge"}
        base = sum(fee["amount_cents"] for fee in invoice["fees"] if fee["fee_type"] == "subscription")
        self.report.check(f"{customer}: state", "finalized", invoice["status"])
        self.report.check(f"{customer}: fees in cents", usage.fees_cents(), {"base price": base, **fees})
        self.report.check(f"{customer}: total in cents", usage.total_cents(), invoice["total_amount_cents"])

    def _margins(self, nozle: Nozle) -> None:
        self.report.step("Margins (nozle-sdk)")
        settled: Any = _eventually(nozle.margin.by_customer, self._margins_are_complete)
        self._margin_table("By customer", "external_customer_id", settled["customers"])
        for row in settled["customers"]:
            customer, usage = row["external_customer_id"], self._usages[row["external_customer_id"]]
            revenue = Decimal(usage.total_cents()) / 100
            self.report.check(f"{customer}: revenue", revenue, Decimal(row["revenue"]))
            self.report.check(f"{customer}: cost", usage.cost(), Decimal(row["cost"]))
            self.report.check(f"{customer}: margin", revenue - usage.cost(), Decimal(row["margin"]))
        models = [row for row in nozle.margin.by_model()["models"] if row["model"]]
        self._margin_table("By model", "model", models)
        costs = {model: sum(usage.cost(model) for usage in self._usages.values()) for model in PROVIDER_RATES}
        self.report.check("cost by model", costs, {row["model"]: Decimal(row["cost"]) for row in models})

    def _margins_are_complete(self, answer: Any) -> bool:
        found = {row["external_customer_id"]: Decimal(row["cost"]) for row in answer["customers"]}
        return found == {customer: usage.cost() for customer, usage in self._usages.items()}

    def _margin_table(self, title: str, group: str, rows: list[Any]) -> None:
        self.report.table(
            title,
            [group, "revenue", "cost", "margin", "%"],
            [
                [
                    row[group],
                    exact_dollars(row["revenue"]),
                    exact_dollars(row["cost"]),
                    exact_dollars(row["margin"]),
                    str(row["margin_percent"] if row["margin_percent"] is not None else row["status"]),
                ]
                for row in rows
            ],
        )


def _eventually(ask: Callable[[], Any], is_settled: Callable[[Any], bool]) -> Any:
    """The answer once it is settled, or the last one if it never is: the checks then say what is wrong."""
    answers = [ask()]

    def settled() -> bool:
        if not is_settled(answers[0]):
            answers[0] = ask()
        return is_settled(answers[0])

    try:
        wait_until(settled, timeout=SETTLE_SECONDS, what="the answer to settle")
    except TimeoutError:
        return answers[0]
    return answers[0]


def _by_metric(usage: Any) -> dict[str, Any]:
    return {charge["billable_metric"]["code"]: charge for charge in usage["charges_usage"]}


def _has_units(usage: Usage, answer: Any) -> bool:
    units = {code: int(charge["units"]) for code, charge in _by_metric(answer).items()}
    return units == {"api_call": usage.api_calls, "llm_tokens": usage.all_tokens}


def main() -> int:
    """Run the demo; 0 when every number agrees."""
    parser = argparse.ArgumentParser(description="Farebox from an empty machine to an invoice and a margin.")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help="where the servers keep their data")
    parser.add_argument("--events", type=int, default=EVENT_COUNT, help="different events to send")
    parser.add_argument(
        "--kill", metavar="SERVICE", help=f"kill -9 one of {', '.join(SERVICES)}, gateway, nats, postgres"
    )
    chosen = parser.parse_args()
    victim = f"{chosen.kill}-1" if chosen.kill in SERVICES else chosen.kill
    began = time.monotonic()
    with Stack(StackOptions(data_dir=chosen.data_dir, ports={})) as stack:
        started = time.monotonic()
        demo = Demo(stack, chosen.events, victim)
        demo.report.say(f"Farebox answers at {stack.http_url} ({started - began:.1f} s)")
        demo.play()
    demo.report.step(f"{time.monotonic() - began:.1f} s in all")
    for failure in demo.report.failures:
        demo.report.say(f"[bold red]✗ {failure}[/]")
    demo.report.say("[bold green]every number agrees[/]" if demo.report.passed else "[bold red]numbers differ[/]")
    return 0 if demo.report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
