"""Scenarios: price sheets with what they must come to (tests/scenarios/README.md). Every runner reads them here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parent.parent / "scenarios"
# Scenarios over more than one invoice: changes of plan, late events, several periods.
OVER_TIME = DIRECTORY / "over_time"
CUSTOMER = "customer_1"


@dataclass(frozen=True)
class Fee:
    """One expected, or found, fee; units as text without trailing zeros, empty where they are not compared."""

    type: str
    code: str
    amount_cents: int
    units: str = ""
    filter: str = ""
    group: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ExpectedInvoice:
    """What one invoice must come to."""

    fees: frozenset[Fee]
    total_cents: int


@dataclass(frozen=True)
class Step:
    """Something that is done at an instant: events that are sent, or a move to another plan."""

    at: str
    events: Sequence[Mapping[str, Any]] = ()
    plan_code: str = ""


@dataclass(frozen=True)
class Scenario:
    """One price sheet; see the README beside the files."""

    name: str
    clock: Mapping[str, str]
    metrics: Sequence[Mapping[str, Any]]
    plan: Mapping[str, Any]
    subscription: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    invoices: Sequence[ExpectedInvoice]
    organization: Mapping[str, Any] = field(default_factory=dict)
    further_plans: Sequence[Mapping[str, Any]] = ()
    steps: Sequence[Step] = ()

    @property
    def fees(self) -> frozenset[Fee]:
        """What the only invoice must say."""
        (invoice,) = self.invoices
        return invoice.fees

    @property
    def total_cents(self) -> int:
        """What the only invoice must come to."""
        (invoice,) = self.invoices
        return invoice.total_cents

    @property
    def plans(self) -> list[Mapping[str, Any]]:
        """The subscription's first plan, and those it is moved to."""
        return [self.plan, *self.further_plans]

    @property
    def last_event_at(self) -> str:
        """When the last event happened, RFC 3339 in UTC; the beginning where there is none."""
        return max((event["timestamp"] for event in self.events), default=self.clock["starts_at"])


def scenario_files() -> list[Path]:
    """The files of one period and one invoice."""
    return sorted(DIRECTORY.glob("*.yaml"))


def over_time_files() -> list[Path]:
    """The files of several invoices."""
    return sorted(OVER_TIME.glob("*.yaml"))


def read_scenario(path: Path) -> Scenario:
    """One file, with its events written out and its fees as a set."""
    sheet = yaml.safe_load(path.read_text())
    lines = [(line, _events(line, number, sheet)) for number, line in enumerate(sheet["events"])]
    events = [event for _, made in lines for event in made]
    scenario = Scenario(
        name=sheet["name"],
        clock=sheet["clock"],
        metrics=sheet["metrics"],
        plan=sheet["plan"],
        subscription=sheet["subscription"],
        events=events,
        invoices=[_invoice(each) for each in sheet.get("invoices", [sheet])],
        organization=sheet.get("organization", {}),
        further_plans=sheet.get("further_plans", ()),
    )
    if "invoices" not in sheet:
        return replace(scenario, steps=[Step(scenario.last_event_at, events)])
    steps = [Step(line.get("sent_at", line["at"]), made) for line, made in lines]
    steps += [Step(line["at"], plan_code=line["plan"]) for line in sheet.get("changes", ())]
    return replace(scenario, steps=sorted(steps, key=lambda step: instant(step.at)))


def instant(text: str) -> datetime:
    """An instant of a file."""
    return datetime.fromisoformat(text)


def comparable(found: Iterable[Fee], expected: Iterable[Fee]) -> frozenset[Fee]:
    """Fees as a scenario writes them: without those of 0 cents, units only where they are expected."""
    compared = {(fee.type, fee.code) for fee in expected if fee.units}
    return frozenset(
        fee if (fee.type, fee.code) in compared else replace(fee, units="") for fee in found if fee.amount_cents
    )


def _invoice(sheet: Mapping[str, Any]) -> ExpectedInvoice:
    return ExpectedInvoice(frozenset(_fee(line) for line in sheet["fees"]), sheet["total_cents"])


def _events(line: Mapping[str, Any], number: int, sheet: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of one line, as the REST interface takes them."""
    return [
        {
            "transaction_id": line.get("transaction_id", f"event-{number}-{copy}"),
            "external_customer_id": CUSTOMER,
            "external_subscription_id": sheet["subscription"]["external_id"],
            "code": line["code"],
            "timestamp": line["at"],
            "properties": line["properties"],
        }
        for copy in range(line.get("repeat", 1))
    ]


def _fee(line: Mapping[str, Any]) -> Fee:
    return Fee(
        type=line["type"],
        code=line.get("code", ""),
        amount_cents=line["amount_cents"],
        units=line.get("units", ""),
        filter=line.get("filter", ""),
        group=tuple(sorted(line.get("group", {}).items())),
    )
