"""Rating says by which number of its log a change is announced: with the change, and to whoever asks later."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import catalog_service_pb2, change_service_pb2
from farebox.rating.v1.change_service_pb2_grpc import ChangeServiceStub
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.changes import CHANGE_KEY
from services.chassis.rpc.errors import field_violations
from services.kernel.ids import new_id
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import Rating, Tenant, metric


def change(tenant: Tenant, code: str) -> int:
    """Make a metric; the number that the answer says."""
    request = catalog_service_pb2.CreateBillableMetricRequest(billable_metric=metric(code))
    metadata = [(ORGANIZATION_KEY, tenant.organization_id)]
    _, call = tenant.rating.catalog.CreateBillableMetric.with_call(request, metadata=metadata, timeout=PATIENCE_SECONDS)
    return int(dict(call.trailing_metadata())[CHANGE_KEY])


def newest(rating: Rating, organizations: Sequence[str]) -> dict[str, int]:
    """What whoever follows the log is told."""
    request = change_service_pb2.ListNewestChangesRequest(organization_ids=organizations)
    answer = ChangeServiceStub(rating.channel).ListNewestChanges(request, timeout=PATIENCE_SECONDS)
    return {change.organization_id: change.number for change in answer.changes}


def announced(rating: Rating, number: int) -> tuple[str, bytes]:
    with rating.deps.db.worker_transaction() as tx:
        row: Any = tx.exec_driver_sql("SELECT subject, body FROM outbox WHERE number = %s", (number,)).one()
    return row.subject, bytes(row.body)


def test_a_change_is_announced_by_the_number_that_its_answer_says(rating: Rating) -> None:
    """Each organization has its own newest change, and changes at once have each theirs or a later one."""
    acme, globex = rating.tenant(), rating.tenant()
    first, second = change(acme, "calls"), change(acme, "tokens")
    assert 0 < first < second
    subject, body = announced(rating, second)
    assert (subject, b"tokens" in body) == ("rating.catalog.metric_changed", True)
    third = change(globex, "calls")
    known = newest(rating, [acme.organization_id, globex.organization_id])
    assert known == {acme.organization_id: second, globex.organization_id: third}
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda place: change(acme, f"metric-{place}"), range(24)))
    assert max(said) == newest(rating, [acme.organization_id])[acme.organization_id]
    for place, number in enumerate(said):
        bodies = [announced(rating, later)[1] for later in range(third + 1, number + 1)]
        assert any(f"metric-{place}".encode() in body for body in bodies)


def test_who_has_changed_nothing_has_no_newest_change(rating: Rating) -> None:
    assert newest(rating, [new_id()]) == {}


def test_every_wrong_id_is_named(rating: Rating) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        newest(rating, ["acme", new_id(), ""])
    assert [violation.field for violation in field_violations(refused.value)] == [
        "organization_ids[0]",
        "organization_ids[2]",
    ]
    with pytest.raises(grpc.RpcError) as empty:
        newest(rating, [])
    assert [violation.field for violation in field_violations(empty.value)] == ["organization_ids"]
