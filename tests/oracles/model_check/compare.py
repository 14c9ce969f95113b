"""One case by the oracle and by the product: what differs between them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.kernel.cadence import Alignment, Cadence, CadenceUnit, Interval, days_between, period_containing
from tests.oracles.billing import shown
from tests.oracles.billing.books import Books
from tests.oracles.billing.days import Calendar, day_of
from tests.oracles.billing.story import Story
from tests.oracles.model_check.prices import CalendarCase
from tests.support.accounts.account import Account
from tests.support.accounts.play import play
from tests.support.scenarios import Scenario, scenario_of

Body = Mapping[str, Any]
# The oracle's fractions have no end, the product's decimals have: units are compared to so many decimals.
UNITS_PLACES = 12
_TOTALS = ("coupons_cents", "taxes_cents", "credit_notes_cents", "total_cents")


def differences_of(sheet: Body, account: Account) -> list[str]:
    """The differences between the product's and the oracle's results for a price sheet; empty if they match."""
    scenario, books = told(scenario_of(sheet))
    try:
        play(scenario, account)
        found = [invoice.line() for invoice in account.invoices()]
        notes = [note.line() for note in account.credit_notes()]
    except Exception as error:  # noqa: BLE001 - whatever the product does not take is a difference
        where = traceback.extract_tb(error.__traceback__)[-1]
        return [f"the product refused: {type(error).__name__}: {error} ({where.name}:{where.lineno})"]
    wanted = [_invoice(line) for line in shown.every_invoice_of(books)]
    final = [_invoice(line) for line in found if line["state"] != "draft"]
    differences = _unlike("invoice", wanted, final)
    differences += _unlike("credit note", shown.credit_notes_of(books), notes)
    if len(found) - len(final) != len(books.drafts):
        differences.append(f"{len(found) - len(final)} drafts by the product, {len(books.drafts)} by the oracle")
    return differences


def told(scenario: Scenario) -> tuple[Scenario, Books]:
    """A story by the oracle, without the steps that cannot be done when their time comes."""
    story = Story(scenario, Books(scenario))
    story.begin()
    steps = []
    for step in scenario.steps:
        story.advance(step.at)
        if story.can(step):
            story.do(step)
            steps.append(step)
    story.advance(scenario.ends_at)
    return replace(scenario, steps=steps), story.books


def calendar_differences(case: CalendarCase) -> list[str]:
    """Where the periods of a calendar part: their first instants, and how many days they have."""
    alignment = Alignment.ANNIVERSARY if case.is_anniversary else Alignment.CALENDAR
    cadence = Cadence(Interval(CadenceUnit(case.unit), case.every), alignment, case.anchor, case.zone)
    calendar = Calendar(case.unit, case.every, case.is_anniversary, day_of(case.anchor, case.zone), case.zone)
    differences = []
    for at in case.instants:
        wanted, days = calendar.span_at(at), calendar.days_at(at).count()
        found = period_containing(cadence, at)
        if (found.start, found.end) != tuple(wanted):
            differences.append(f"at {at} the period is {found} by the product, {wanted} by the oracle")
        elif days_between(found, case.zone) != days:
            differences.append(
                f"{found} has {days_between(found, case.zone)} days by the product, {days} by the oracle"
            )
    return differences


def kind_of(difference: str) -> str:
    """What sort of difference it is, without its figures."""
    return re.sub(r"[-0-9.:TZ]+", "#", difference.partition(", 'units'")[0].partition("by the product")[0])[:90]


def _unlike(what: str, wanted: Sequence[Body], found: Sequence[Body]) -> list[str]:
    """The differences between two lists."""
    pairs = zip(wanted, found, strict=False)
    differences = [text for number, pair in enumerate(pairs, 1) for text in _parts(f"{what} {number}", *pair)]
    common = min(len(wanted), len(found))
    differences += [f"{what}: only the oracle has {line}" for line in wanted[common:]]
    return differences + [f"{what}: only the product has {line}" for line in found[common:]]


def _parts(name: str, wanted: Body, found: Body) -> list[str]:
    texts = [
        f"{name}: {key} is {found[key]!r} by the product, {wanted[key]!r} by the oracle"
        for key in wanted
        if key != "fees" and wanted[key] != found[key]
    ]
    theirs, ours = list(wanted.get("fees", ())), list(found.get("fees", ()))
    for fee in list(theirs):
        if fee in ours:
            theirs.remove(fee)
            ours.remove(fee)
    texts += [f"{name}: only the oracle has {fee}" for fee in theirs]
    return [*texts, *(f"{name}: only the product has {fee}" for fee in ours)]


def _invoice(line: Body) -> dict[str, Any]:
    """An invoice by all that both of them say; fees of 0 cents as well."""
    fees = [{**fee, "units": round(Decimal(fee["units"]), UNITS_PLACES)} for fee in line["fees"]]
    return {**{name: line[name] for name in _TOTALS}, "fees": fees}
