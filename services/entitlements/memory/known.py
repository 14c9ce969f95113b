"""The standings that are known, by organization, customer and question, as they were loaded. No I/O, no threads."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.entitlements.domain.access import Access, Question, decide
from services.entitlements.domain.standing import Standing, stands_until
from services.entitlements.store.access_change import EVERYBODY, AccessChange
from services.entitlements.store.standing import Seen
from services.kernel.ids import OrganizationId

# Questions remembered at once, each with the standings that answer it: some 5 kB, so 100 MB in all.
MAX_REMEMBERED = 20_000
# Different numbers of units for which the answer to a question is kept; almost every caller asks for one.
MAX_ANSWERS = 4


class Answer:
    """An answer that may be given many times.

    Attributes:
        access: the answer, without a revision.
        packed: the same in the form of the wire, stored here by the first caller that packs it.
    """

    __slots__ = ("access", "packed")

    def __init__(self, access: Access) -> None:
        self.access = access
        self.packed: Any = None


@dataclass(slots=True)
class Remembered:
    """The standings that answer one question, and the answers made of them.

    Attributes:
        standings: as they were loaded.
        since, until: the span in which time alone does not alter them; None for no end.
        answers: by units.
    """

    standings: Sequence[Standing]
    since: datetime
    until: datetime | None
    answers: dict[Decimal, Answer] = field(default_factory=dict)

    @classmethod
    def of(cls, standings: Sequence[Standing], at: datetime) -> Remembered:
        """Standings that were loaded at this time."""
        ends = [stands_until(standing, at) for standing in standings]
        return cls(standings, at, min((end for end in ends if end is not None), default=None))

    def is_true_at(self, at: datetime) -> bool:
        """Whether all of it still holds at this time."""
        return self.since <= at and (self.until is None or at < self.until)

    def answer(self, question: Question, at: datetime) -> Answer:
        """The answer to a question; `at` must be a time for which `is_true_at` holds."""
        found = self.answers.get(question.units)
        if found is None:
            if len(self.answers) >= MAX_ANSWERS:
                self.answers.clear()
            found = Answer(decide(question, self.standings, at=at, revision=0))
            self.answers[question.units] = found
        return found


@dataclass(slots=True)
class KnownOrganization:
    """What is known of one organization.

    Attributes:
        test_clock: the time of its test clock; None if its time is the machine's.
        revision: everything up to this revision is known, and nothing after it.
        number: when it became known, in the order of loads.
        customers: what is remembered of each, by feature and named subscription.
    """

    test_clock: datetime | None
    revision: int
    number: int
    customers: dict[str, dict[tuple[str, str], Remembered]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Load:
    """A query for one organization that is in progress.

    Attributes:
        organization: whose.
        number: when it began, in the order of loads.
        outdated: customers whose answers were altered since, by transactions that the query may not see.
        newest: the newest revision of those alterations.
        is_void: whether changes may have been missed since, so that its result must not be stored.
    """

    organization: OrganizationId
    number: int
    outdated: set[str] = field(default_factory=set)
    newest: int = 0
    is_void: bool = False


class Known:
    """Everything that is known, for at most `limit` questions; the least recently asked customers are dropped first."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._organizations: dict[OrganizationId, KnownOrganization] = {}
        # How many questions of each customer are remembered, the most recently asked customer last.
        self._asked: OrderedDict[tuple[OrganizationId, str], int] = OrderedDict()
        self._count = 0
        self._loads: set[Load] = set()
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        """How many questions are remembered."""
        return self._count

    def organization(self, organization: OrganizationId) -> KnownOrganization | None:
        """What is known of an organization."""
        return self._organizations.get(organization)

    def find(self, organization: OrganizationId, question: Question) -> Remembered | None:
        """The standings that answer a question, if they are known."""
        known = self._organizations.get(organization)
        of_customer = known.customers.get(question.external_customer_id) if known else None
        if of_customer is None:
            return None
        self._asked.move_to_end((organization, question.external_customer_id))
        return of_customer.get((question.feature_code, question.external_subscription_id))

    def begin_load(self, organization: OrganizationId) -> Load:
        """Begin to load; answers that are altered from now on will not be stored."""
        load = Load(organization, next(self._numbers))
        self._loads.add(load)
        return load

    def end_load(self, load: Load) -> None:
        """End a load, also one that failed."""
        self._loads.discard(load)

    def keep(self, load: Load, seen: Seen, questions: Sequence[Question], remembered: Sequence[Remembered]) -> None:
        """Remember what was loaded, except for customers whose answers were altered meanwhile.

        Nothing is stored if the organization became known after the load began, since changes between the state of the
        load and the known one were not recorded in the load. Nor is a state stored that is newer than the known one.
        """
        if load.is_void or EVERYBODY in load.outdated:
            return
        known = self._organizations.get(load.organization)
        if known is None:
            known = KnownOrganization(seen.test_clock, max(seen.revision, load.newest), next(self._numbers))
        elif known.number > load.number or seen.revision > known.revision:
            return
        for question, loaded in zip(questions, remembered, strict=True):
            if question.external_customer_id not in load.outdated:
                self._organizations[load.organization] = known
                self._keep(known, load.organization, question, loaded)
        while self._count > self._limit:
            self._forget(*next(iter(self._asked)))

    def _keep(
        self, known: KnownOrganization, organization: OrganizationId, question: Question, remembered: Remembered
    ) -> None:
        customer = question.external_customer_id
        of_customer = known.customers.setdefault(customer, {})
        before = len(of_customer)
        of_customer[question.feature_code, question.external_subscription_id] = remembered
        self._count += len(of_customer) - before
        self._asked[organization, customer] = len(of_customer)
        self._asked.move_to_end((organization, customer))

    def alter(self, changes: Iterable[AccessChange]) -> None:
        """Forget customers whose answers were altered; everything up to the new revisions is known afterwards."""
        for organization, customer, revision in changes:
            for load in self._loads:
                if load.organization == organization:
                    load.outdated.add(customer)
                    load.newest = max(load.newest, revision)
            known = self._organizations.get(organization)
            if known is None:
                continue
            known.revision = max(known.revision, revision)
            for altered in list(known.customers) if customer == EVERYBODY else [customer]:
                self._forget(organization, altered)

    def clear(self) -> None:
        """Forget everything, and store no result of a load that is in progress."""
        self._organizations.clear()
        self._asked.clear()
        self._count = 0
        for load in self._loads:
            load.is_void = True

    def _forget(self, organization: OrganizationId, customer: str) -> None:
        """Forget a customer, and with the last one the organization."""
        known = self._organizations[organization]
        if known.customers.pop(customer, None) is not None:
            self._count -= self._asked.pop((organization, customer))
        if not known.customers:
            del self._organizations[organization]
