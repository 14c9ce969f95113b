"""What is known of organizations: standings by customer and question, as they were loaded. No I/O, no threads."""

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
# Different numbers of units for which the answer to a question is kept; almost everybody asks for one.
MAX_ANSWERS = 4


class Answer:
    """An answer that may be given many times.

    Attributes:
        access: the answer, without a revision.
        packed: the same as the wire has it, kept here by whoever packs it first.
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
        since, until: in between, time alone alters nothing of them; None for no end.
        answers: by units.
    """

    standings: Sequence[Standing]
    since: datetime
    until: datetime | None
    answers: dict[Decimal, Answer] = field(default_factory=dict)

    @classmethod
    def of(cls, standings: Sequence[Standing], at: datetime) -> Remembered:
        """Standings as they were loaded at a time."""
        ends = [stands_until(standing, at) for standing in standings]
        return cls(standings, at, min((end for end in ends if end is not None), default=None))

    def is_true_at(self, at: datetime) -> bool:
        """Whether nothing of it is different at this time."""
        return self.since <= at and (self.until is None or at < self.until)

    def answer(self, question: Question, at: datetime) -> Answer:
        """What a question is answered; `at` must be a time at which this is true."""
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
        test_clock: where its test clock stands; None where its time is the machine's.
        revision: everything up to it is known, and nothing after it.
        number: when it became known, in the order of loads.
        customers: what is remembered of each, by feature and named subscription.
    """

    test_clock: datetime | None
    revision: int
    number: int
    customers: dict[str, dict[tuple[str, str], Remembered]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Load:
    """A query for one organization that is on its way.

    Attributes:
        organization: whose.
        number: when it began, in the order of loads.
        outdated: customers whose answers were altered since, by transactions that it may not see.
        newest: the newest revision of those alterations.
        is_void: whether nobody has watched since, so that nothing of it may be kept.
    """

    organization: OrganizationId
    number: int
    outdated: set[str] = field(default_factory=set)
    newest: int = 0
    is_void: bool = False


class Known:
    """What is known of all organizations, at most `limit` questions; the customers asked about longest ago go first."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._organizations: dict[OrganizationId, KnownOrganization] = {}
        # How many questions of each customer are remembered, the one asked about last at the end.
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
        """What answers a question."""
        known = self._organizations.get(organization)
        of_customer = known.customers.get(question.external_customer_id) if known else None
        if of_customer is None:
            return None
        self._asked.move_to_end((organization, question.external_customer_id))
        return of_customer.get((question.feature_code, question.external_subscription_id))

    def begin_load(self, organization: OrganizationId) -> Load:
        """Begin to load; what is altered from now on will not be kept."""
        load = Load(organization, next(self._numbers))
        self._loads.add(load)
        return load

    def end_load(self, load: Load) -> None:
        """Whatever became of it."""
        self._loads.discard(load)

    def keep(self, load: Load, seen: Seen, questions: Sequence[Question], remembered: Sequence[Remembered]) -> None:
        """Remember what was loaded, but for what was altered meanwhile.

        Nothing is kept of an organization that became known since the load began: whose answers were altered between
        the load's state and the one that is known was told to nobody. Nor of a state that is not reached here.
        """
        if load.is_void or EVERYBODY in load.outdated:
            return
        known = self._organizations.get(load.organization)
        if known is None:
            known = KnownOrganization(seen.test_clock, max(seen.revision, load.newest), next(self._numbers))
        elif known.number > load.number or seen.revision > known.revision:
            return
        for question, one in zip(questions, remembered, strict=True):
            if question.external_customer_id not in load.outdated:
                self._organizations[load.organization] = known
                self._keep(known, load.organization, question, one)
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
        """Forget those whose answers were altered, and know what there is up to the new revisions."""
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
        """Forget everything, and keep nothing of what is on its way."""
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
