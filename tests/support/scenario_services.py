"""A scenario through rating's commands: catalog, subscription, encoded usage, the run of what is due, invoices."""

from __future__ import annotations

from datetime import datetime

from benchmarks.simulate.usage_log import Event, UsageFeed
from services.chassis.db import Database
from services.chassis.page import Page
from services.kernel.cadence import Alignment
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId
from services.rating.agreements.store import list_agreements
from services.rating.agreements.subscription_change import NewSubscription
from services.rating.catalog.commands.metrics import create_metric
from services.rating.catalog.commands.plans import create_plan
from services.rating.clock.due import run_due
from services.rating.invoicing.bill import Bill
from services.rating.invoicing.queries.invoices import list_invoices
from services.rating.invoicing.store.listing import InvoicesWanted
from services.rating.organizations.commands import create_organization
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.subscriptions.commands import change_plan, create_subscription
from tests.support.rating.server import build_test_deps
from tests.support.scenario_catalog import metric_draft, plan_draft
from tests.support.scenarios import CUSTOMER, Scenario, Step, instant

PAGE = Page(size=1000)


class ScenarioRun:
    """One scenario on one database, in an organization of its own."""

    def __init__(self, scenario: Scenario, db: Database) -> None:
        self._scenario = scenario
        self._clock = FrozenClock(instant(scenario.clock["starts_at"]))
        self._deps = build_test_deps(db, self._clock)
        self._feed = UsageFeed(self._deps)
        self._seen: set[str] = set()
        with db.worker_transaction() as tx:
            settings = {"name": "Scenario", "test_mode": True, **scenario.organization}
            self._organization: OrganizationId = create_organization(self._deps, tx, settings).organization_id

    def invoices(self) -> list[Bill]:
        """Play it to the end; the invoices by number."""
        self._sell()
        for step in self._scenario.steps:
            self._advance(instant(step.at))
            self._do(step)
        self._advance(instant(self._scenario.clock["ends_at"]))
        found = list_invoices(self._deps, self._organization, InvoicesWanted(), PAGE).items
        return sorted(found, key=lambda bill: bill.sequential_id or 0)

    def _sell(self) -> None:
        organization, scenario = self._organization, self._scenario
        with self._deps.db.transaction(organization) as tx:
            for metric in scenario.metrics:
                create_metric(self._deps, tx, organization, metric_draft(metric))
            for plan in scenario.plans:
                create_plan(self._deps, tx, organization, plan_draft(plan))
            wanted = NewSubscription(
                external_customer_id=CUSTOMER,
                plan_code=scenario.plan["code"],
                external_id=scenario.subscription["external_id"],
                alignment=Alignment(scenario.subscription["billing_time"]),
            )
            create_subscription(self._deps, tx, organization, wanted)

    def _advance(self, to: datetime) -> None:
        self._clock.move_to(to)
        run_due(self._deps, to, self._organization)

    def _do(self, step: Step) -> None:
        organization = self._organization
        with self._deps.db.transaction(organization) as tx:
            if step.plan_code:
                external_id = self._scenario.subscription["external_id"]
                change_plan(self._deps, tx, organization, external_id, (step.plan_code, 0))
            known = list_agreements(tx, organization, PAGE, states=tuple(SubscriptionState)).items
        events = []
        for event in step.events:
            if event["transaction_id"] not in self._seen:
                self._seen.add(event["transaction_id"])
                at = instant(event["timestamp"])
                # As ingest resolves it: the customer's subscription at the event's time.
                (owner,) = [each for each in known if each.subscription.covers(at)]
                code, properties = event["code"], event["properties"]
                identity = event["transaction_id"]
                events.append(Event(organization, owner.subscription_id, identity, code, at, properties))
        if events:
            self._feed.send(events)
