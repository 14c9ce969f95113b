"""The routes of API keys: made, shown once, replaced, revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.page_pb2 import PageResponse
from farebox.rating.v1 import organization_service_pb2 as pb
from farebox.rating.v1.organization_pb2 import ApiKey
from services.kernel import errors
from tests.support.gateway import KEY_ID, PUBLISHABLE, SECRET, Gateway, identity, new_gateway

MADE_AT = Timestamp(seconds=1_700_000_000)
STORED = ApiKey(
    id=KEY_ID, kind=ApiKey.KIND_SECRET, hint="sk_test_abcdef", name="CI", scopes=["events:write"], created_at=MADE_AT
)
NEW = {"key": {"name": "CI", "scopes": ["events:write"]}}


@pytest.fixture
def gateway() -> Gateway:
    made = new_gateway()
    made.services.on("CreateApiKey", pb.CreateApiKeyResponse(api_key=STORED, token="sk_test_new"))
    made.services.on("RotateApiKey", pb.RotateApiKeyResponse(api_key=STORED, token="sk_test_next", replaced=STORED))
    made.services.on("RevokeApiKey", pb.RevokeApiKeyResponse(api_key=STORED))
    made.services.on("ListApiKeys", pb.ListApiKeysResponse(api_keys=[STORED], page=PageResponse(total_size=1)))
    return made


def test_a_key_is_made_and_shown(gateway: Gateway) -> None:
    ends = "2030-01-01T00:00:00Z"
    made = gateway.post("/api/v1/api_keys", json={"key": {**NEW["key"], "expires_at": ends}}).json()["key"]
    (asked,) = gateway.services.requests("CreateApiKey")
    assert (asked.name, asked.kind, list(asked.scopes)) == ("CI", ApiKey.KIND_SECRET, ["events:write"])
    assert asked.expires_at.ToDatetime(tzinfo=UTC) == datetime(2030, 1, 1, tzinfo=UTC)
    assert (made["token"], made["lago_id"], made["hint"]) == ("sk_test_new", KEY_ID, "sk_test_abcdef")
    assert (made["expires_at"], made["last_used_at"], made["replaces_id"]) == (None, None, None)


def test_a_list_shows_no_key(gateway: Gateway) -> None:
    answer = gateway.get("/api/v1/api_keys").json()
    assert answer["keys"][0]["scopes"] == ["events:write"]
    assert "token" not in answer["keys"][0]


def test_what_is_shown_once_is_kept_nowhere(gateway: Gateway) -> None:
    """Neither is the answer of a POST with an Idempotency-Key; its repeat hears that the key was shown."""
    headers = {"Idempotency-Key": "k"}
    assert gateway.post("/api/v1/api_keys", json=NEW, headers=headers).status_code == 200
    gateway.services.on("CreateApiKey", errors.AlreadyExistsError("API_KEY_SHOWN", "shown"))
    again = gateway.post("/api/v1/api_keys", json=NEW, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "api_key_shown")
    assert gateway.services.requests("ClaimKey") == []
    assert {asked.request_id for asked in gateway.services.requests("CreateApiKey")} == {identity("/api_keys", "k")}


def test_a_key_is_replaced_with_a_day_of_overlap(gateway: Gateway) -> None:
    path = f"/api/v1/api_keys/{KEY_ID}/rotate"
    answer = gateway.post(path, json={}).json()["key"]
    gateway.post(path, json={"overlap_seconds": 0})
    first, second = gateway.services.requests("RotateApiKey")
    assert (first.api_key_id, first.overlap_seconds, second.overlap_seconds) == (KEY_ID, 86_400, 0)
    assert (answer["token"], answer["replaced"]["hint"]) == ("sk_test_next", "sk_test_abcdef")
    assert "token" not in answer["replaced"]


def test_a_key_is_revoked(gateway: Gateway) -> None:
    assert gateway.send("DELETE", f"/api/v1/api_keys/{KEY_ID}").json()["key"]["lago_id"] == KEY_ID
    assert gateway.services.requests("RevokeApiKey")[0].api_key_id == KEY_ID


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"key": {}}, {"name"}),
        ({"key": {"name": "CI", "scopes": []}}, {"scopes"}),
        ({"key": {"name": "CI", "scopes": ["events:write", "all", "events"]}}, {"scopes[1]", "scopes[2]"}),
        ({"key": {"name": "CI", "kind": "master", "colour": "red"}}, {"kind", "colour"}),
    ],
)
def test_a_refusal_names_the_fields(gateway: Gateway, body: Any, fields: set[str]) -> None:
    refused = gateway.post("/api/v1/api_keys", json=body)
    assert (refused.status_code, set(refused.json()["error_details"])) == (422, fields)
    assert gateway.services.requests("CreateApiKey") == []


def test_a_restricted_key_says_what_it_may_itself(gateway: Gateway) -> None:
    """So that rating makes and replaces no key that may do more."""
    gateway.services.keys[SECRET].scopes.extend(["keys", "events:write"])
    gateway.post("/api/v1/api_keys", json=NEW)
    gateway.post(f"/api/v1/api_keys/{KEY_ID}/rotate", json={})
    for method in ("CreateApiKey", "RotateApiKey"):
        assert list(gateway.services.requests(method)[0].within_scopes) == ["events:write", "keys"]
    gateway.services.on("CreateApiKey", errors.PermissionDeniedError("API_KEY_BEYOND_SCOPES", "more"))
    refused = gateway.post("/api/v1/api_keys", json=NEW)
    assert (refused.status_code, refused.json()["code"]) == (403, "api_key_beyond_scopes")


def test_an_unrestricted_key_is_not_limited(gateway: Gateway) -> None:
    gateway.post("/api/v1/api_keys", json=NEW)
    assert list(gateway.services.requests("CreateApiKey")[0].within_scopes) == []
    gateway.key = PUBLISHABLE
    assert gateway.get("/api/v1/api_keys").status_code == 403
