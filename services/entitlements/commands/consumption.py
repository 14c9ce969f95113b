"""Consume, reserve, commit, release: commands of an organization that came together are counted together.

Whoever counts against a limit holds its row from before the numbers are read until the commit, so at every commit
used + consumed + held ≤ limit, whatever runs beside it. All rows are locked by one statement, in one order; then all
numbers are read by another, the commands are decided one after the other (`domain/counting.py`), and what they come to
is written set by set. The organization's revisions are taken last, once for all of them.

Units counted here stay in this service's ledger and are not announced to ingest, so a unit is reported either by
Consume or as a usage event, never by both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.db import after_commit
from services.entitlements.commands.changes import announce_counted
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Question
from services.entitlements.domain.counting import (
    Books,
    Command,
    Commit,
    Consume,
    Counted,
    Key,
    Release,
    Reserve,
    Settling,
)
from services.entitlements.domain.hold import Hold
from services.entitlements.domain.standing import Standing
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import ledger as ledger_store
from services.entitlements.store import standing as standing_store
from services.kernel.errors import AbortedError, FareboxError
from services.kernel.ids import OrganizationId

# What a command is answered, or why it could not be done.
Result = Counted | FareboxError


def count(deps: Deps, tx: Connection, organization: OrganizationId, commands: Sequence[Command]) -> list[Result]:
    """Do commands, each as if it were alone; an error of one is its answer and no other's. In no certain order."""
    holds = ledger_store.find_holds(
        tx, organization, [command.hold_id for command in commands if isinstance(command, Settling)]
    )
    # A hold of a subscription that has ended counts for whoever continues it, whose numbers must be read anew after it.
    late = [
        place
        for place, command in enumerate(commands)
        if isinstance(command, Settling) and command.hold_id in holds and not holds[command.hold_id].is_active
    ]
    groups = [[place for place in range(len(commands)) if place not in late], *([place] for place in late)]
    results: dict[int, Result] = {}
    for places in groups:
        if places:
            counted = _count_together(deps, tx, organization, [commands[place] for place in places])
            results.update(zip(places, counted, strict=True))
    return [results[place] for place in range(len(commands))]


def _count_together(
    deps: Deps, tx: Connection, organization: OrganizationId, commands: Sequence[Command]
) -> list[Result]:
    hold_ids = [command.hold_id for command in commands if isinstance(command, Settling)]
    questions = list(
        {
            _asked(command.question): command.question for command in commands if not isinstance(command, Settling)
        }.values()
    )
    locked = entitlement_store.lock_asked(tx, organization, questions, hold_ids)
    facts = _read(deps, tx, organization, questions, hold_ids)
    if len(commands) > 1 and not all(standing.subscription.is_active for standing in facts.of_holds):
        raise AbortedError("SUBSCRIPTION_MOVED", "a subscription ended meanwhile; try again")
    books = facts.open_books(locked)
    counted = [_do(books, command, facts) for command in commands]
    if not books.altered:
        # What is refused says a state that memory has to know, too, before it answers the same caller.
        after_commit(tx, deps.memory.catch_up_if_it_can)
        return [_revised(result, facts.revision) for result in counted]
    ledger_store.add(tx, organization, books.consumptions, at=books.at)
    ledger_store.add_holds(tx, organization, books.reserved, at=books.at)
    ledger_store.settle_holds(tx, organization, books.settled, at=books.at)
    first = announce_counted(deps, tx, organization, books)
    return [
        _revised(result, first - 1 if isinstance(result, Counted) and result.place else facts.revision)
        for result in counted
    ]


class _Facts(NamedTuple):
    """What was read once everything is locked.

    Attributes:
        at: the organization's time.
        revision: the organization's newest revision.
        of_questions: standings by what is asked.
        of_holds: standings of the holds that shall be settled.
        holds: those holds.
    """

    at: datetime
    revision: int
    of_questions: Mapping[tuple[str, str, str], Sequence[Standing]]
    of_holds: Sequence[Standing]
    holds: Sequence[Hold]

    def open_books(self, locked: Collection[Key]) -> Books:
        """Books of what is locked."""
        standings = chain(self.of_holds, *self.of_questions.values())
        return Books(
            self.at, (standing for standing in standings if standing.entitlement and standing.key in locked), self.holds
        )


def _read(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    questions: Sequence[Question],
    hold_ids: Sequence[str],
) -> _Facts:
    now = deps.clock.now()
    holds = [held.hold for held in ledger_store.find_holds(tx, organization, hold_ids).values()]
    asked = standing_store.of_questions(tx, organization, questions, now, settling=hold_ids)
    of_holds = standing_store.of_keys(tx, organization, {hold.key for hold in holds}, now, settling=hold_ids)
    of_questions = dict(zip(map(_asked, questions), asked.standings, strict=True))
    newest = max(asked.revision, of_holds.revision)
    return _Facts(asked.at if questions else of_holds.at, newest, of_questions, of_holds.standings[0], holds)


def _do(books: Books, command: Command, facts: _Facts) -> Result:
    try:
        match command:
            case Consume():
                return books.consume(command, facts.of_questions[_asked(command.question)])
            case Reserve():
                return books.reserve(command, facts.of_questions[_asked(command.question)])
            case Commit():
                return books.commit(command)
            case Release():
                return books.release(command)
    except FareboxError as error:
        return error


def _asked(question: Question) -> tuple[str, str, str]:
    """What of a question decides which standings answer it."""
    return question.external_customer_id, question.feature_code, question.external_subscription_id


def _revised(result: Result, before: int) -> Result:
    """An answer with its revision, of which so many were given before the first of these commands."""
    return result if isinstance(result, FareboxError) else result.revised(before + result.place)
