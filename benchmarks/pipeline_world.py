"""A whole system with customers who buy one plan, events for them, and what the services made of those events."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import grpc
from pydantic import SecretStr

from benchmarks.harness import in_threads
from benchmarks.ingest_load import sender
from farebox.common.v1.decimal_pb2 import Decimal
from farebox.entitlements.v1.feature_pb2 import Feature
from farebox.entitlements.v1.feature_service_pb2 import CreateFeatureRequest
from farebox.entitlements.v1.feature_service_pb2_grpc import FeatureServiceStub
from farebox.ingest.v1.usage_event_pb2 import UsageEvent
from farebox.ingest.v1.usage_event_service_pb2 import IngestUsageEventsRequest
from farebox.margin.v1.cost_model_pb2 import CostModel
from farebox.margin.v1.cost_model_service_pb2 import CreateCostModelRequest
from farebox.margin.v1.cost_model_service_pb2_grpc import CostModelServiceStub
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.catalog_service_pb2 import CreateBillableMetricRequest, CreatePlanRequest
from farebox.rating.v1.catalog_service_pb2_grpc import CatalogServiceStub
from farebox.rating.v1.charge_pb2 import Charge, ChargeModel
from farebox.rating.v1.organization_pb2 import Organization
from farebox.rating.v1.organization_service_pb2 import CreateOrganizationRequest
from farebox.rating.v1.organization_service_pb2_grpc import OrganizationServiceStub
from farebox.rating.v1.plan_pb2 import BillingInterval, Plan, PlanEntitlement
from farebox.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest
from farebox.rating.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.wait import wait_until
from services.kernel.ids import OrganizationId, new_id
from services.local.stack import Stack

SERVICES = ("ingest", "rating", "entitlements", "margin")
METRIC, FEATURE, PLAN = "llm_tokens", "tokens", "pro"
CALL_SECONDS = 60.0
# An event that is not applied everywhere after this time never will be.
PATIENCE_SECONDS = 120.0
# How many callers create subscriptions at the same time.
SELLERS = 8
# The log has this line if somebody else moved a position, or if a message did not fit it.
MOVED = b"LOG_POSITION_MOVED"


class World:
    """A running system with one organization.

    Attributes:
        stack: its processes.
        organization: the sender.
        metadata: the metadata of its calls.
        channels: the channels to each service.
    """

    def __init__(self, stack: Stack, channels: dict[str, grpc.Channel], databases: dict[str, Database]) -> None:
        """Use a running stack."""
        self.stack = stack
        self.channels = channels
        self._databases = databases
        self._customers = 0
        self._sent = 0
        self._turn = count()
        made = OrganizationServiceStub(channels["rating"]).CreateOrganization(
            CreateOrganizationRequest(organization=Organization(name="Bench", default_currency="USD")),
            timeout=CALL_SECONDS,
        )
        self.organization = OrganizationId(made.organization.id)
        self.metadata: list[tuple[str, str]] = [(ORGANIZATION_KEY, self.organization)]

    def call(self, method: Any, request: Any) -> Any:
        """One call on behalf of the organization."""
        return method(request, metadata=self.metadata, timeout=CALL_SECONDS)

    def sell(self, customers: int) -> None:
        """One metric, its cost, a plan that charges for it and limits it, and this many customers on the plan."""
        catalog = CatalogServiceStub(self.channels["rating"])
        metric = BillableMetric(
            code=METRIC, name=METRIC, aggregation=BillableMetric.AGGREGATION_SUM, field_name="tokens"
        )
        self.call(catalog.CreateBillableMetric, CreateBillableMetricRequest(billable_metric=metric))
        limited = Feature(code=FEATURE, name=FEATURE, type=Feature.TYPE_USAGE_LIMIT, metric_code=METRIC)
        features = FeatureServiceStub(self.channels["entitlements"])
        self.call(features.CreateFeature, CreateFeatureRequest(feature=limited))
        self.call(catalog.CreatePlan, CreatePlanRequest(plan=_plan()))
        cost = CostModel(name="cost", metric_code=METRIC, currency="USD", per_unit=CostModel.PerUnit(unit_amount=_ONE))
        cost.effective_from.FromSeconds(1)
        costs = CostModelServiceStub(self.channels["margin"])
        self.call(costs.CreateCostModel, CreateCostModelRequest(request_id=new_id(), cost_model=cost))
        in_threads(SELLERS, [partial(self._subscribe, number) for number in range(customers)])
        self._customers = customers
        wait_until(self.is_announced, timeout=PATIENCE_SECONDS, what="ingest to know the subscriptions")

    def _subscribe(self, number: int) -> None:
        customer = f"customer-{number}"
        request = CreateSubscriptionRequest(external_customer_id=customer, plan_code=PLAN, external_id=customer)
        request.started_at.FromSeconds(int(time.time()) - 3600)
        self.call(SubscriptionServiceStub(self.channels["rating"]).CreateSubscription, request)

    def requests(self, batches: int, size: int) -> list[bytes]:
        """Serialized requests with fresh events of one unit, of all customers in turn but the first, who is watched."""
        customers = (f"customer-{1 + next(self._turn) % (self._customers - 1)}" for _ in range(batches * size))
        return [
            IngestUsageEventsRequest(events=map(event, islice(customers, size))).SerializeToString()
            for _ in range(batches)
        ]

    def send(self, requests: Sequence[bytes], size: int, callers: int) -> None:
        """Send requests; each of their events must be accepted."""
        send = sender(self.channels["ingest"], self, size=size)
        in_threads(callers, [partial(send, request) for request in requests])
        self.count(len(requests) * size)

    def count(self, events: int) -> None:
        """Note that this many events were sent."""
        self._sent += events

    def is_announced(self) -> bool:
        """Whether everything that rating has announced has been applied by all its followers."""
        head, waiting = self._one(
            "rating",
            "SELECT (SELECT last_number FROM outbox_head), (SELECT count(*) FROM outbox WHERE published_at IS NULL)",
        )
        heard = [
            self._one(name, "SELECT coalesce(max(last_number), 0) FROM inbox WHERE log = 'rating'")[0]
            for name in ("ingest", "entitlements", "margin")
        ]
        return waiting == 0 and all(number >= head for number in heard)

    def lag(self) -> int:
        """How many of the sent events are not yet counted in rating, limited in entitlements and costed in margin."""
        return self._sent - min(self.applied().values())

    def applied(self) -> dict[str, int]:
        """How many units each service has: each event is one unit."""
        counted = self._one(
            "rating", "SELECT coalesce(sum(total), 0)::bigint FROM usage_aggregates WHERE charge_id = ''"
        )
        limited = self._one("entitlements", "SELECT coalesce(sum(units), 0)::bigint FROM usage_totals")
        costed = self._one("margin", "SELECT coalesce(sum(units), 0)::bigint FROM cost_hours")
        return {"rating": counted[0], "entitlements": limited[0], "margin": costed[0]}

    def settle(self) -> None:
        """Wait until everything sent is applied everywhere; the sums must be exactly what was sent."""
        try:
            wait_until(lambda: self.lag() <= 0, timeout=PATIENCE_SECONDS, what="all events to be applied")
        finally:
            applied = self.applied()
        events = self._one(
            "rating", "SELECT coalesce(sum(event_count), 0)::bigint FROM usage_aggregates WHERE charge_id = ''"
        )
        assert {*applied.values(), events[0]} == {self._sent}, (applied, events, self._sent)

    def _one(self, service: str, question: str) -> tuple[Any, ...]:
        with self._databases[service].worker_transaction(quiet=True) as tx:
            return tuple(tx.exec_driver_sql(question).one())

    def metric(self, name: str) -> int:
        """The sum of a counter over all processes of the services."""
        return sum(
            _counter(self.stack.metrics_url(process), name) for process in self.stack.names if _is_service(process)
        )

    def position_moved(self) -> int:
        """How often a reader found that its position had moved, according to the logs of all processes."""
        return sum(
            self.stack.log_path(process).read_bytes().count(MOVED)
            for process in self.stack.names
            if _is_service(process)
        )

    def cpu_seconds(self) -> dict[str, float]:
        """The CPU time that each process has used so far; PostgreSQL's includes all of its backends."""
        return {name: _cpu_seconds(_family(self.stack.process(name).pid)) for name in self.stack.names}

    def memory_mib(self) -> dict[str, int]:
        """The resident memory of each service's process."""
        return {name: _resident_mib(self.stack.process(name).pid) for name in self.stack.names if _is_service(name)}

    def announced(self) -> int:
        """How many messages the outboxes of all services have numbered so far."""
        return sum(self._one(name, "SELECT coalesce(max(last_number), 0) FROM outbox_head")[0] for name in SERVICES)


_ONE = Decimal(value="0.000001")


def _plan() -> Plan:
    charge = Charge(metric_code=METRIC, model=ChargeModel(standard=ChargeModel.Standard(unit_amount=_ONE)))
    limit = PlanEntitlement(
        feature_code=FEATURE,
        kind=PlanEntitlement.KIND_USAGE_LIMIT,
        enabled=True,
        limit=Decimal(value="1000000000"),
        metric_code=METRIC,
        reset=PlanEntitlement.RESET_BILLING_PERIOD,
    )
    month = BillingInterval(unit=BillingInterval.UNIT_MONTH, count=1)
    return Plan(
        code=PLAN, name=PLAN, currency="USD", amount_cents=0, interval=month, charges=[charge], entitlements=[limit]
    )


def event(customer: str) -> UsageEvent:
    """An event of one unit that happens now."""
    message = UsageEvent(
        transaction_id=new_id(),
        external_customer_id=customer,
        code=METRIC,
        properties=b'{"tokens": 1, "model": "gpt-4o", "region": "eu-west-1"}',
    )
    message.occurred_at.FromNanoseconds(time.time_ns())
    return message


@contextmanager
def world(customers: int, replicas: int = 1) -> Iterator[World]:
    """A system with this many processes for each service, and an organization with this many customers."""
    with ExitStack() as exits:
        stack = exits.enter_context(
            Stack.temporary(services=SERVICES, gateway=False, replicas=dict.fromkeys(SERVICES, replicas))
        )
        channels = {name: exits.enter_context(open_channel(stack.address(name))) for name in SERVICES}
        databases = {
            name: Database(Settings(database_url=SecretStr(stack.database_url(name)), database_pool_size=2))
            for name in SERVICES
        }
        for database in databases.values():
            exits.callback(database.dispose)
        made = World(stack, channels, databases)
        made.sell(customers)
        yield made


def _is_service(process: str) -> bool:
    return process.rpartition("-")[0] in SERVICES


def _counter(url: str, name: str) -> int:
    with urllib.request.urlopen(url, timeout=CALL_SECONDS) as answer:  # noqa: S310 - one of our own processes
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name))


def _family(pid: int) -> list[int]:
    """A process and its children's children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    family, waiting = [], [pid]
    while waiting:
        family.append(waiting.pop())
        waiting += children.get(family[-1], [])
    return family


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes, and of those children that have ended."""
    ticks = sum(int(part) for pid in pids for part in _stat(pid)[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> int:
    pages = sum(int(_stat(member)[21]) for member in _family(pid) if _stat(member))
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
