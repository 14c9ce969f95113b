"""Scenarios: price sheets with what they must come to (tests/scenarios/README.md). Every runner reads them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parent.parent / "scenarios"
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
class Scenario:
    """One price sheet; see the README beside the files."""

    name: str
    clock: Mapping[str, str]
    metrics: Sequence[Mapping[str, Any]]
    plan: Mapping[str, Any]
    subscription: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    fees: frozenset[Fee]
    total_cents: int
    organization: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last_event_at(self) -> str:
        """When the last event happened, RFC 3339 in UTC; the beginning where there is none."""
        return max((event["timestamp"] for event in self.events), default=self.clock["starts_at"])


def scenario_files() -> list[Path]:
    """All files."""
    return sorted(DIRECTORY.glob("*.yaml"))


def read_scenario(path: Path) -> Scenario:
    """One file, with its events written out and its fees as a set."""
    sheet = yaml.safe_load(path.read_text())
    return Scenario(
        name=sheet["name"],
        clock=sheet["clock"],
        metrics=sheet["metrics"],
        plan=sheet["plan"],
        subscription=sheet["subscription"],
        events=[event for number, line in enumerate(sheet["events"]) for event in _events(line, number, sheet)],
        fees=frozenset(_fee(line) for line in sheet["fees"]),
        total_cents=sheet["total_cents"],
        organization=sheet.get("organization", {}),
    )


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
