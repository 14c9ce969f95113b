"""API keys with scopes, an end, a last use and successors; time is the machine's, which a test sets here."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.rating.v1 import organization_service_pb2 as pb
from farebox.rating.v1.organization_pb2 import ApiKey
from services.chassis.rpc.errors import error_info, field_violations
from services.kernel.ids import new_id
from services.rating.organizations.organization import USE_RESOLUTION
from services.wire.values import instant_to_pb
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import NOW, Rating, Tenant

HOUR = timedelta(hours=1)


def make(tenant: Tenant, **fields: Any) -> pb.CreateApiKeyResponse:
    request = pb.CreateApiKeyRequest(**{"kind": ApiKey.KIND_SECRET, "name": "CI", **fields})
    answer: pb.CreateApiKeyResponse = tenant.call(tenant.rating.organizations.CreateApiKey, request)
    return answer


def rotate(tenant: Tenant, api_key_id: str, **fields: Any) -> pb.RotateApiKeyResponse:
    request = pb.RotateApiKeyRequest(api_key_id=api_key_id, **fields)
    answer: pb.RotateApiKeyResponse = tenant.call(tenant.rating.organizations.RotateApiKey, request)
    return answer


def stored(tenant: Tenant, api_key_id: str) -> ApiKey:
    keys = tenant.call(tenant.rating.organizations.ListApiKeys, pb.ListApiKeysRequest()).api_keys
    (found,) = [key for key in keys if key.id == api_key_id]
    key: ApiKey = found
    return key


def authenticated(rating: Rating, token: str) -> ApiKey:
    request = pb.AuthenticateApiKeyRequest(token=token)
    key: ApiKey = rating.organizations.AuthenticateApiKey(request, timeout=PATIENCE_SECONDS).api_key
    return key


def is_working(rating: Rating, token: str) -> bool:
    try:
        authenticated(rating, token)
    except grpc.RpcError as error:
        if error_info(error)[0] != "API_KEY_INVALID":
            raise
        return False
    return True


def at(instant: Any) -> Timestamp:
    return instant_to_pb(instant)


def refusal(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return error_info(refused.value)[0]


def test_a_key_says_what_it_may(rating: Rating, tenant: Tenant) -> None:
    """Scopes come back sorted, each once; a key without any is not restricted."""
    made = make(tenant, scopes=["keys", "events:write", "keys"])
    assert list(authenticated(rating, made.token).scopes) == ["events:write", "keys"]
    assert list(authenticated(rating, make(tenant).token).scopes) == []


def test_an_expired_key_is_unknown(rating: Rating, tenant: Tenant) -> None:
    """From its very end on, by the machine's clock."""
    made = make(tenant, expires_at=at(NOW + HOUR))
    assert is_working(rating, made.token)
    rating.clock.move_to(NOW + HOUR)
    assert not is_working(rating, made.token)


def test_a_rotation_overlaps(rating: Rating, tenant: Tenant) -> None:
    """Both keys work until the overlap ends; the new one has name and scopes of the old one."""
    old = make(tenant, scopes=["events:write"])
    new = rotate(tenant, old.api_key.id, overlap_seconds=3600)
    assert (new.api_key.replaces_id, new.api_key.name, list(new.api_key.scopes)) == (
        old.api_key.id,
        "CI",
        ["events:write"],
    )
    assert new.replaced == stored(tenant, old.api_key.id)
    assert is_working(rating, old.token)
    assert is_working(rating, new.token)
    rating.clock.move_to(NOW + HOUR)
    assert (is_working(rating, old.token), is_working(rating, new.token)) == (False, True)


def test_without_an_overlap_the_old_key_ends_at_once(rating: Rating, tenant: Tenant) -> None:
    old = make(tenant)
    rotate(tenant, old.api_key.id)
    assert not is_working(rating, old.token)
    assert refusal(lambda: rotate(tenant, old.api_key.id)) == "API_KEY_INACTIVE"


def test_an_overlap_prolongs_no_life_and_an_end_is_not_forgotten(tenant: Tenant) -> None:
    """A key that ends sooner than the overlap ends then, and its successor must have an end, too."""
    old = make(tenant, expires_at=at(NOW + HOUR))
    with pytest.raises(grpc.RpcError) as refused:
        rotate(tenant, old.api_key.id)
    assert [violation.field for violation in field_violations(refused.value)] == ["expires_at"]
    new = rotate(tenant, old.api_key.id, overlap_seconds=7200, expires_at=at(NOW + 3 * HOUR))
    assert (new.replaced.expires_at, new.api_key.expires_at) == (at(NOW + HOUR), at(NOW + 3 * HOUR))


def test_a_repeated_rotation_makes_no_second_key(tenant: Tenant) -> None:
    old = make(tenant)
    rotate(tenant, old.api_key.id, overlap_seconds=60, request_id="once")
    assert refusal(lambda: rotate(tenant, old.api_key.id, overlap_seconds=60, request_id="once")) == "API_KEY_SHOWN"


def test_a_restricted_key_makes_and_replaces_no_stronger_one(tenant: Tenant) -> None:
    """Neither one that is not restricted; a publishable key is weaker than any."""
    within = ["events:write", "keys"]
    strong, weak = make(tenant), make(tenant, scopes=["keys"], within_scopes=within)
    for attempt in (
        lambda: make(tenant, within_scopes=within),
        lambda: make(tenant, scopes=["invoices:write"], within_scopes=within),
        lambda: rotate(tenant, strong.api_key.id, within_scopes=within),
    ):
        assert refusal(attempt) == "API_KEY_BEYOND_SCOPES"
    assert rotate(tenant, weak.api_key.id, within_scopes=within).token
    assert make(tenant, kind=ApiKey.KIND_PUBLISHABLE, within_scopes=within).token
    assert not stored(tenant, strong.api_key.id).HasField("expires_at")


def test_the_last_use_is_noted_once_a_minute(rating: Rating, tenant: Tenant) -> None:
    """A hundred calls of a minute are one write."""
    made = make(tenant)
    assert not stored(tenant, made.api_key.id).HasField("last_used_at")
    noted = []
    for moved in (timedelta(0), USE_RESOLUTION / 2, USE_RESOLUTION):
        rating.clock.move_to(NOW + moved)
        authenticated(rating, made.token)
        noted.append(stored(tenant, made.api_key.id).last_used_at)
    assert noted == [at(NOW), at(NOW), at(NOW + USE_RESOLUTION)]


def test_a_foreign_key_cannot_be_replaced_or_revoked(rating: Rating, tenant: Tenant) -> None:
    foreign = make(rating.tenant()).api_key.id
    revoke = pb.RevokeApiKeyRequest(api_key_id=foreign)
    for call in (
        lambda: rotate(tenant, foreign),
        lambda: rotate(tenant, new_id()),
        lambda: tenant.call(rating.organizations.RevokeApiKey, revoke),
    ):
        assert refusal(call) == "API_KEY_UNKNOWN"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"scopes": ["Events", "ok", ""]}, ["scopes[0]", "scopes[2]"]),
        ({"scopes": [f"s{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(51)]}, ["scopes"]),
        ({"kind": ApiKey.KIND_PUBLISHABLE, "scopes": ["keys"]}, ["scopes"]),
        ({"expires_at": at(NOW)}, ["expires_at"]),
        ({"expires_at": at(NOW + timedelta(days=4000))}, ["expires_at"]),
    ],
)
def test_a_refusal_names_the_field(tenant: Tenant, fields: dict[str, Any], wrong: list[str]) -> None:
    """Scopes by their places in the request."""
    with pytest.raises(grpc.RpcError) as refused:
        make(tenant, **fields)
    assert [violation.field for violation in field_violations(refused.value)] == wrong
