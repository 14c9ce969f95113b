"""Answers kept for those who repeat a REST request: claimed once, by whichever replica asks first (ADR 19)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import kept_answer_service_pb2 as pb
from farebox.rating.v1.kept_answer_service_pb2_grpc import KeptAnswerServiceStub
from services.chassis.rpc.errors import error_info, field_violations
from services.kernel.ids import new_id
from services.rating.calls.commands import forget_old_answers
from services.rating.calls.kept_answer import CLAIM, KEEP, MAX_CONTENT_BYTES
from tests.support.rating.server import Rating, Tenant

KEY = pb.AnswerKey(route="/customers", key="k")
ANSWER = pb.KeptAnswer(status=200, media_type="application/json", headers={"X-A": "b"}, content=b'{"a": 1}')
States = pb.ClaimKeyResponse


def claim(tenant: Tenant, attempt_id: str = "", digest: bytes = bytes(32)) -> pb.ClaimKeyResponse:
    request = pb.ClaimKeyRequest(key=KEY, payload_digest=digest, attempt_id=attempt_id or new_id())
    answer: pb.ClaimKeyResponse = tenant.call(KeptAnswerServiceStub(tenant.rating.channel).ClaimKey, request)
    return answer


def keep(tenant: Tenant, attempt_id: str, answer: pb.KeptAnswer = ANSWER) -> None:
    request = pb.KeepAnswerRequest(key=KEY, attempt_id=attempt_id, answer=answer)
    tenant.call(KeptAnswerServiceStub(tenant.rating.channel).KeepAnswer, request)


def release(tenant: Tenant, attempt_id: str) -> None:
    request = pb.ReleaseKeyRequest(key=KEY, attempt_id=attempt_id)
    tenant.call(KeptAnswerServiceStub(tenant.rating.channel).ReleaseKey, request)


def test_one_of_many_at_once_gets_the_key(tenant: Tenant) -> None:
    """The others are told to wait, and find the answer once it is there; the winner's repeated call wins again."""
    attempts = [new_id() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda attempt_id: claim(tenant, attempt_id).state, attempts))
    assert sorted(states) == [States.STATE_CLAIMED] + [States.STATE_IN_PROGRESS] * 7
    winner = attempts[states.index(States.STATE_CLAIMED)]
    assert claim(tenant, winner).state == States.STATE_CLAIMED
    keep(tenant, winner)
    assert claim(tenant) == States(state=States.STATE_ANSWERED, answer=ANSWER)


def test_another_payload_is_refused_before_and_after_the_answer(tenant: Tenant) -> None:
    attempt_id = new_id()
    claim(tenant, attempt_id)
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as refused:
            claim(tenant, digest=b"x" * 32)
        assert error_info(refused.value)[0] == "REQUEST_ID_REUSED"
        keep(tenant, attempt_id)


def test_a_key_belongs_to_its_organization(rating: Rating) -> None:
    acme, globex = rating.tenant(), rating.tenant()
    assert claim(acme).state == claim(globex, digest=b"x" * 32).state == States.STATE_CLAIMED


def test_a_claim_ends_by_itself_and_who_lost_it_changes_nothing(rating: Rating, tenant: Tenant) -> None:
    """A gateway that died leaves no key behind; one that was only slow does not overwrite its successor."""
    slow, successor = new_id(), new_id()
    claim(tenant, slow)
    rating.clock.move_to(rating.clock.now() + CLAIM + timedelta(milliseconds=1))
    assert claim(tenant, successor).state == States.STATE_CLAIMED
    release(tenant, slow)
    keep(tenant, slow, pb.KeptAnswer(status=201, media_type="text/plain", content=b"late"))
    assert claim(tenant).state == States.STATE_IN_PROGRESS
    keep(tenant, successor)
    release(tenant, successor)
    assert claim(tenant).answer == ANSWER


def test_a_released_key_is_free_for_any_payload(tenant: Tenant) -> None:
    attempt_id = new_id()
    claim(tenant, attempt_id)
    release(tenant, attempt_id)
    assert claim(tenant, digest=b"x" * 32).state == States.STATE_CLAIMED


def test_answers_are_forgotten_after_thirty_days(rating: Rating, tenant: Tenant) -> None:
    attempt_id = new_id()
    claim(tenant, attempt_id)
    keep(tenant, attempt_id)
    forgotten = []
    for wait in (KEEP, timedelta(seconds=1)):
        rating.clock.move_to(rating.clock.now() + wait)
        with rating.deps.db.worker_transaction() as tx:
            forgotten.append(forget_old_answers(rating.deps, tx))
    assert forgotten == [0, 1]
    assert claim(tenant).state == States.STATE_CLAIMED


@pytest.mark.parametrize(
    ("request_type", "method", "fields", "wrong"),
    [
        (pb.ClaimKeyRequest, "ClaimKey", {}, ["key.route", "key.key"]),
        (pb.ClaimKeyRequest, "ClaimKey", {"key": KEY}, ["payload_digest", "attempt_id"]),
        (pb.ReleaseKeyRequest, "ReleaseKey", {"key": KEY}, ["attempt_id"]),
        (
            pb.KeepAnswerRequest,
            "KeepAnswer",
            {"key": KEY, "attempt_id": new_id(), "answer": {"status": 500, "content": bytes(MAX_CONTENT_BYTES + 1)}},
            ["answer.status", "answer.content"],
        ),
    ],
)
def test_a_refusal_names_every_field(
    tenant: Tenant, request_type: Any, method: str, fields: dict[str, Any], wrong: list[str]
) -> None:
    stub = KeptAnswerServiceStub(tenant.rating.channel)
    with pytest.raises(grpc.RpcError) as refused:
        tenant.call(getattr(stub, method), request_type(**fields))
    assert [violation.field for violation in field_violations(refused.value)] == wrong
