"""Which cases are played, and by what.

Cases that are not played are named once, with the reason: in docs/deviations.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.cases.cases import Case, Figures, load_cases, same
from tests.cases.customer import Customer
from tests.cases.links import changes, money_back, periods, prices, usage
from tests.cases.links.link import Link
from tests.support.accounts.account import Account

DEVIATIONS = Path(__file__).parents[2] / "docs" / "deviations.md"
NOT_PLAYED = "Cases that are not played"
INCOMPLETE = "Incomplete cases that are not played"
NOT_OVER_REST = "Figures that REST does not show"
NOT_SHOWN = "Figures that are not shown"

CASES: Mapping[str, Case] = load_cases()
# By the id of a case, or by its kind.
LINKS: Mapping[str, Link] = {**prices.LINKS, **usage.LINKS, **periods.LINKS, **changes.LINKS, **money_back.LINKS}
# A price is the same wherever it is asked for: these kinds are played in memory and by commands, not over REST as well.
PRICE_KINDS = frozenset(prices.LINKS) - {"aggregation"}


def listed(*headings: str) -> list[str]:
    """The names under these headings of docs/deviations.md, each of which has a reason."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DEVIATIONS.read_text(), re.MULTILINE | re.DOTALL))
    return [name for heading in headings for name in re.findall(r"^- `([^`]+)`: \S", sections[heading], re.MULTILINE)]


def played() -> list[str]:
    """The ids of the cases that are played."""
    excused = set(listed(NOT_PLAYED, INCOMPLETE))
    return sorted(case_id for case_id in CASES if case_id not in excused)


def link_of(case: Case) -> Link:
    """What plays a case."""
    return LINKS.get(case["id"]) or LINKS[case["kind"]]


def outcome(case_id: str, account: Account) -> Figures:
    """The figures that a case comes to at some height."""
    case = CASES[case_id]
    return link_of(case)(case, Customer(account))


def wrong(case_id: str, figures: Figures, unseen: frozenset[str] = frozenset()) -> str:
    """What a case expects and did not get; empty where it got all. Figures that are `unseen` are not asked for."""
    without = unseen | set(listed(NOT_SHOWN))
    expected = {name: value for name, value in CASES[case_id]["expect"].items() if name not in without}
    return "" if same(expected, figures) else f"expected {expected}, got {figures}"
