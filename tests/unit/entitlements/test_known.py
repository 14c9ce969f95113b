"""What a replica knows: bounded, true for as long as time alone alters nothing, and never older than it says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from services.entitlements.domain.access import Question
from services.entitlements.memory.known import Known, Load, Remembered
from services.entitlements.store.access_change import EVERYBODY, AccessChange
from services.entitlements.store.standing import Seen
from services.kernel.ids import OrganizationId
from tests.unit.entitlements.test_access import HARD, NOON, standing

OURS, THEIRS = OrganizationId("ours"), OrganizationId("theirs")


def question(customer: str, feature: str = "calls") -> Question:
    return Question(customer, feature)


def load(known: Known, customer: str, *, revision: int = 1, organization: OrganizationId = OURS) -> None:
    """Load what a customer is asked about, from a state."""
    loading = known.begin_load(organization)
    keep(known, loading, customer, revision)


def keep(known: Known, loading: Load, customer: str, revision: int) -> None:
    seen = Seen(NOON, revision, [[standing(HARD)]])
    known.keep(loading, seen, [question(customer)], [Remembered.of(seen.standings[0], NOON)])
    known.end_load(loading)


def knows(known: Known, customer: str, organization: OrganizationId = OURS) -> bool:
    return known.find(organization, question(customer)) is not None


def test_who_was_asked_about_longest_ago_goes_first() -> None:
    known = Known(limit=2)
    for customer in ("first", "second"):
        load(known, customer)
    assert knows(known, "first")
    load(known, "third")
    assert [knows(known, customer) for customer in ("first", "second", "third")] == [True, False, True]
    assert len(known) == 2


def test_what_was_altered_is_forgotten() -> None:
    """One customer's, or everybody's; of no other organization. What is known is then as new as the alteration."""
    known = Known()
    for organization in (OURS, THEIRS):
        for customer in ("one", "two"):
            load(known, customer, organization=organization)
    known.alter([AccessChange(OURS, "one", 7)])
    assert (knows(known, "one"), knows(known, "two")) == (False, True)
    ours = known.organization(OURS)
    assert ours is not None
    assert ours.revision == 7
    known.alter([AccessChange(OURS, EVERYBODY, 0)])
    assert known.organization(OURS) is None
    assert knows(known, "one", THEIRS)
    assert len(known) == 2


@pytest.mark.parametrize("altered", ["one", EVERYBODY])
def test_what_is_altered_during_a_load_is_not_kept(altered: str) -> None:
    known = Known()
    loading = known.begin_load(OURS)
    known.alter([AccessChange(OURS, altered, 2)])
    keep(known, loading, "one", 1)
    assert not knows(known, "one")


def test_a_first_load_knows_what_it_was_told() -> None:
    """An alteration of somebody else during the load is in the revision, since nothing of it is missing."""
    known = Known()
    loading = known.begin_load(OURS)
    known.alter([AccessChange(OURS, "two", 5)])
    keep(known, loading, "one", 4)
    ours = known.organization(OURS)
    assert ours is not None
    assert ours.revision == 5


def test_a_load_older_than_what_is_known_is_not_kept() -> None:
    """Between its state and the one that is known, something may have been altered that it was not told."""
    known = Known()
    slow = known.begin_load(OURS)
    load(known, "two", revision=9)
    keep(known, slow, "one", 8)
    assert not knows(known, "one")


def test_a_state_that_is_not_reached_is_not_kept() -> None:
    known = Known()
    load(known, "one", revision=3)
    load(known, "two", revision=4)
    assert not knows(known, "two")


def test_nothing_on_its_way_is_kept_after_everything_was_forgotten() -> None:
    known = Known()
    loading = known.begin_load(OURS)
    known.clear()
    keep(known, loading, "one", 1)
    assert not knows(known, "one")
    assert len(known) == 0


def test_it_is_true_until_time_alters_it() -> None:
    """Here at the end of May, with the billing period; and an answer is made once for so many units."""
    remembered = Remembered.of([standing(HARD, held="2")], NOON)
    assert remembered.until == NOON + timedelta(minutes=1)
    assert remembered.is_true_at(NOON)
    assert not remembered.is_true_at(NOON + timedelta(minutes=1))
    assert not remembered.is_true_at(NOON - timedelta(seconds=1))
    ask = question("acme")
    assert remembered.answer(ask, NOON) is remembered.answer(ask, NOON)
    other = Question("acme", "calls", "", Decimal(3))
    assert remembered.answer(other, NOON) is not remembered.answer(ask, NOON)
