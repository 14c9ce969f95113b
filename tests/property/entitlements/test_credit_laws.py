"""Laws of credits that hold for any grants, uses, resets and order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.entitlements.domain.credit_balance import CreditBook, Evaluation, Reset, Snapshot, Use
from services.entitlements.domain.grant import MAX_CREDITS, BurnOrder, Grant, in_burn_order
from services.entitlements.domain.recurrence import Recurrence
from services.kernel.cadence import MAX_EVERY, CadenceUnit, Interval
from services.kernel.errors import InvalidArgumentError

START = datetime(2026, 1, 31, tzinfo=UTC)
HOURS = 24 * 40
END = START + timedelta(hours=HOURS)
# Few different instants, so that what happens at once is tried often.
instants = st.integers(-40, HOURS // 12).map(lambda half_days: START + timedelta(hours=12 * half_days))
later = st.integers(1, HOURS // 12).map(lambda half_days: START + timedelta(hours=12 * half_days))
amounts = st.decimals(Decimal("0.000000000001"), 1000, places=12)
recurrences = st.builds(Recurrence, st.builds(Interval, st.sampled_from(CadenceUnit), st.integers(1, 3)), instants)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    begin, life = draw(instants), draw(st.none() | st.integers(1, 80))
    least, more = draw(st.just(Decimal(0)) | amounts), draw(st.just(Decimal(0)) | amounts)
    return Grant(
        id=draw(st.uuids()).hex,
        amount=draw(amounts),
        effective_at=begin,
        created_at=draw(instants),
        expires_at=None if life is None else begin + timedelta(hours=12 * life),
        voided_at=draw(st.none() | instants),
        priority=draw(st.integers(0, 3)),
        recurrence=draw(st.none() | recurrences),
        min_rollover=least,
        max_rollover=least + more,
    )


books = st.builds(
    CreditBook,
    st.lists(grants(), max_size=4),
    st.lists(st.builds(Use, later, amounts), max_size=6),
    st.lists(st.builds(Reset, later, st.booleans()), max_size=3, unique_by=lambda reset: reset.at),
    st.sampled_from(BurnOrder),
)


@st.composite
def snapshots(draw: st.DrawFn, book: CreditBook) -> Snapshot:
    known = draw(st.sets(st.sampled_from([grant.id for grant in book.grants]))) if book.grants else set()
    return Snapshot(START, {id_: draw(amounts) for id_ in known}, draw(amounts), draw(amounts), draw(amounts))


@given(st.data(), books)
def test_credits_are_conserved(data: st.DataObject, book: CreditBook) -> None:
    """Granted - burned - expired - voided - lapsed is the balance; what was used is burned, unpaid or forgiven."""
    start = data.draw(snapshots(book))
    evaluation = book.evaluate(start, END)
    for grant in book.grants:
        assert evaluation.movements[grant.id].balance == evaluation.snapshot.balances[grant.id]
    used = sum(segment.used for segment in evaluation.segments)
    burned = sum(movements.burned for movements in evaluation.movements.values())
    assert used == sum(use.units for use in book.uses if use.at < END)
    assert start.overage + used == burned + evaluation.snapshot.overage + evaluation.forgiven
    assert burned == sum(sum(segment.burned.values()) for segment in evaluation.segments)


@given(st.data(), books)
def test_nothing_is_ever_below_zero(data: st.DataObject, book: CreditBook) -> None:
    """No balance, no overage and no movement is negative; what is not active has no balance."""
    evaluation = book.evaluate(data.draw(snapshots(book)), END)
    for snapshot in (*evaluation.segments, evaluation.snapshot):
        assert snapshot.overage >= 0
        assert all(balance >= 0 for balance in snapshot.balances.values())
    for grant in book.grants:
        movements = evaluation.movements[grant.id]
        assert min(movements.granted, movements.burned, movements.expired, movements.voided, movements.lapsed) >= 0
        assert grant.is_active(END) or evaluation.snapshot.balances[grant.id] == 0


@given(st.data(), books, later)
def test_a_snapshot_is_only_a_shortcut(data: st.DataObject, book: CreditBook, cut: datetime) -> None:
    """Going on from the figures of any instant comes to the figures of going there at once, to the last digit."""
    start = data.draw(snapshots(book))
    half = book.evaluate(start, cut)
    rest = replace(book, resets=[reset for reset in book.resets if reset.at > cut])
    assert rest.evaluate(half.snapshot, END).snapshot == book.evaluate(start, END).snapshot


@given(books, st.randoms())
def test_the_order_of_what_is_known_does_not_matter(book: CreditBook, chance: Random) -> None:
    """Grants, uses and resets may be read in any order."""
    shuffled = replace(
        book,
        grants=chance.sample(book.grants, len(book.grants)),
        uses=chance.sample(book.uses, len(book.uses)),
        resets=chance.sample(book.resets, len(book.resets)),
    )
    assert shuffled.evaluate(Snapshot(START), END) == book.evaluate(Snapshot(START), END)


@given(books)
def test_grants_are_burned_in_their_order(book: CreditBook) -> None:
    """A grant is burned only when those before it are empty, and overage is left only when all of them are."""
    evaluation = book.evaluate(Snapshot(START), END)
    order = in_burn_order(book.grants, book.order)
    for segment in evaluation.segments:
        left = [segment.balances[grant.id] - segment.burned.get(grant.id, 0) for grant in order]
        last = max((place for place, grant in enumerate(order) if grant.id in segment.burned), default=0)
        assert all(balance == 0 for balance in left[:last])
        if sum(segment.burned.values()) < segment.overage + segment.used:
            assert sum(left) == 0


@given(books, later)
def test_what_comes_later_changes_nothing_before(book: CreditBook, cut: datetime) -> None:
    """The figures of an instant are made of what had happened by then."""
    known = replace(
        book,
        grants=[grant for grant in book.grants if grant.effective_at <= cut],
        uses=[use for use in book.uses if use.at < cut],
        resets=[reset for reset in book.resets if reset.at <= cut],
    )
    now, then = _asked(known, cut), _asked(book, cut)
    assert (now.snapshot.balance, now.snapshot.overage) == (then.snapshot.balance, then.snapshot.overage)


def _asked(book: CreditBook, at: datetime) -> Evaluation:
    return book.evaluate(Snapshot(START), at)


@given(recurrences, later, st.integers(0, 400))
def test_a_recurrence_is_counted_from_its_anchor(recurrence: Recurrence, after: datetime, hours: int) -> None:
    """No instant comes twice, wherever a span is cut, and the next one is the first of those that follow."""
    cut, until = after + timedelta(hours=hours), after + timedelta(days=120)
    whole = list(recurrence.between(after, until))
    assert whole == [*recurrence.between(after, cut), *recurrence.between(cut, until)]
    assert whole == sorted(set(whole))
    assert recurrence.next_after(after) == whole[0]


def grant(name: str, *, days: int, priority: int) -> Grant:
    return Grant(
        name, Decimal(100), START, created_at=START, expires_at=START + timedelta(days=days), priority=priority
    )


@pytest.mark.parametrize(
    ("order", "soon", "at_last"),
    [(BurnOrder.EXPIRY_FIRST, {"a": 100, "b": 40}, 100), (BurnOrder.PRIORITY_FIRST, {"a": 40, "b": 100}, 40)],
)
def test_the_burn_order_decides_what_expires(order: BurnOrder, soon: dict[str, int], at_last: int) -> None:
    """By expiry nothing is lost that could have been used; by priority what is left of the other grant expires."""
    given_grants = [grant("a", days=30, priority=1), grant("b", days=5, priority=2)]
    book = CreditBook(given_grants, [Use(START + timedelta(days=1), Decimal(60))], order=order)
    assert book.evaluate(Snapshot(START), START + timedelta(days=2)).snapshot.balances == soon
    assert book.evaluate(Snapshot(START), START + timedelta(days=6)).snapshot.balance == at_last


def test_an_anchor_at_the_end_of_a_month_clamps_and_recovers() -> None:
    """Monthly from 31 January: the last day of February, and 31 March again."""
    monthly = Recurrence(Interval(CadenceUnit.MONTH), START)
    days = [at.strftime("%m-%d") for at in monthly.between(START, START + timedelta(days=100))]
    assert days == ["02-28", "03-31", "04-30"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": Decimal(0)}, "amount"),
        ({"amount": Decimal("0.0000000000001")}, "amount"),
        ({"amount": MAX_CREDITS}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"min_rollover": Decimal(2), "max_rollover": Decimal(1)}, "min_rollover"),
        ({"max_rollover": Decimal("1e-13")}, "max_rollover"),
        ({"priority": 256}, "priority"),
        ({"expires_at": START}, "expires_at"),
    ],
)
def test_a_grant_that_means_nothing_is_refused(changes: dict[str, object], field: str) -> None:
    """Each wrong field is named."""
    with pytest.raises(InvalidArgumentError) as refusal:
        replace(grant("a", days=1, priority=1), **changes)  # type: ignore[arg-type]
    assert [violation.field for violation in refusal.value.violations] == [field]


def test_an_interval_has_a_limit() -> None:
    """A recurrence repeats within ten years, as a plan's interval does."""
    with pytest.raises(InvalidArgumentError):
        Interval(CadenceUnit.DAY, MAX_EVERY + 1)
