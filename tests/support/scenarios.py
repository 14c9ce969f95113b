"""Scenarios: price sheets with the expected invoices (tests/scenarios/README.md). Every height reads them here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parent.parent / "scenarios"
CUSTOMER = "customer_1"
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """Something that is done at an instant: events that are sent, or one verb with its terms (see the README)."""

    at: datetime
    events: Sequence[Body] = ()
    do: Body = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One price sheet; see the README beside the files.

    Attributes:
        name: what it shows.
        starts_at, ends_at: the organization's clock.
        organization, customer: fields beyond the usual.
        taxes, coupons, metrics: REST bodies.
        plans: the plans that the customer will have; the first one first.
        subscription: REST body without customer and plan.
        steps: what is done, in order of time.
        invoices: what must come of it, as the file says.
        credit_notes: likewise; None where it is not compared.
    """

    name: str
    starts_at: datetime
    ends_at: datetime
    metrics: Sequence[Body]
    plans: Sequence[Body]
    subscription: Body
    steps: Sequence[Step] = ()
    organization: Body = field(default_factory=dict)
    customer: Body = field(default_factory=dict)
    taxes: Sequence[Body] = ()
    coupons: Sequence[Body] = ()
    invoices: Sequence[Body] = ()
    credit_notes: Sequence[Body] | None = None

    @property
    def plan(self) -> Body:
        """The plan of the first subscription."""
        return self.plans[0]

    @property
    def timezone(self) -> str:
        """The timezone in which days are counted."""
        return str(self.customer.get("timezone") or self.organization.get("timezone", "UTC"))


def scenario_files() -> list[Path]:
    """Every file, those of one invoice and those over time."""
    return sorted(DIRECTORY.rglob("*.yaml"))


def read_scenario(path: Path) -> Scenario:
    """One file."""
    return scenario_of(yaml.safe_load(path.read_text()))


def scenario_of(sheet: Body) -> Scenario:
    """A price sheet with its events written out and its steps in order of time."""
    sent = [
        Step(instant(line.get("sent_at", line["at"])), _events(line, number, sheet))
        for number, line in _numbered(sheet)
    ]
    done = [Step(instant(line["at"]), do=_verb(line, sheet)) for line in sheet.get("changes", ())]
    return Scenario(
        name=sheet["name"],
        starts_at=instant(sheet["clock"]["starts_at"]),
        ends_at=instant(sheet["clock"]["ends_at"]),
        metrics=sheet["metrics"],
        plans=[sheet["plan"], *sheet.get("further_plans", ())],
        subscription=sheet["subscription"],
        # A change at the time of an event comes after it, as in the file's own order of sections.
        steps=sorted([*sent, *done], key=lambda step: step.at),
        organization=sheet.get("organization", {}),
        customer=sheet.get("customer", {}),
        taxes=sheet.get("taxes", ()),
        coupons=sheet.get("coupons", ()),
        invoices=sheet["invoices"] if "invoices" in sheet else _only_invoice(sheet),
        credit_notes=sheet.get("credit_notes"),
    )


def _only_invoice(sheet: Body) -> list[Body]:
    """The invoice of a file that has one; empty for a sheet without expected invoices."""
    return [{"fees": sheet["fees"], "total_cents": sheet["total_cents"]}] if "fees" in sheet else []


def instant(text: str) -> datetime:
    """An instant of a file."""
    return datetime.fromisoformat(text)


def differences(found: Sequence[Body], expected: Iterable[Body]) -> list[str]:
    """What the found invoices (or credit notes) have and was not expected, and the reverse; empty if they match.

    A line is compared by the fields that the file gives; fees may be in any order, and those of 0 cents are left out.
    """
    wanted = list(expected)
    if len(found) != len(wanted):
        return [f"{len(found)} found where {len(wanted)} were expected: {found}"]
    return [
        f"number {number}: {text}"
        for number, (given, line) in enumerate(zip(found, wanted, strict=True), 1)
        for text in _differences(given, line)
    ]


def _differences(found: Body, expected: Body) -> list[str]:
    texts = [
        f"{name} is {found[name]!r}, expected {value!r}"
        for name, value in expected.items()
        if name != "fees" and found[name] != value
    ]
    left = [fee for fee in found.get("fees", ()) if fee["amount_cents"]]
    for line in expected.get("fees", ()):
        match = next((fee for fee in left if _agrees(fee, line)), None)
        if match is None:
            texts.append(f"no fee {dict(line)}")
        else:
            left.remove(match)
    return [*texts, *(f"unexpected fee {fee}" for fee in left)]


def _agrees(fee: Body, line: Body) -> bool:
    """Whether a found fee is the expected one; a filter or group that the line does not name must not be there."""
    wanted = {"filter": "", "group": {}, **line}
    return all(fee[name] == value for name, value in wanted.items())


def _numbered(sheet: Body) -> list[tuple[int, Body]]:
    return list(enumerate(sheet["events"]))


def _events(line: Body, number: int, sheet: Body) -> list[dict[str, Any]]:
    """The events of one line, as the REST interface takes them."""
    return [
        _event(line, line.get("transaction_id", f"event-{number}-{copy}"), sheet)
        for copy in range(line.get("repeat", 1))
    ]


def _event(line: Body, transaction_id: str, sheet: Body) -> dict[str, Any]:
    event = {
        "transaction_id": transaction_id,
        "external_customer_id": CUSTOMER,
        "external_subscription_id": sheet["subscription"]["external_id"],
        "code": line["code"],
        "timestamp": line["at"],
        "properties": line["properties"],
    }
    if "precise_total_amount_cents" in line:
        event["precise_total_amount_cents"] = line["precise_total_amount_cents"]
    return event


def _verb(line: Body, sheet: Body) -> dict[str, Any]:
    """A verb with its terms; an event that replaces another is written out."""
    verb = {name: value for name, value in line.items() if name != "at"}
    if "by" in verb:
        verb["replacement"] = _event(verb.pop("by"), f"{verb['void']}-corrected", sheet)
    return verb
