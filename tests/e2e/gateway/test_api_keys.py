"""A restricted key from its making to its end, through the real gateway and rating."""

from __future__ import annotations

import httpx

from farebox.testing import Farebox, Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS


def status(farebox: Farebox, token: str, path: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{farebox.url}/api/v1{path}", headers=headers, timeout=PATIENCE_SECONDS).status_code


def test_a_restricted_key_lives_and_ends(farebox: Farebox, rest: Rest) -> None:
    """It reaches what its scope names and nothing else, has a successor, and ends when it is revoked."""
    key = rest.post("/api_keys", {"key": {"name": "catalog", "scopes": ["catalog:read"]}})["key"]
    assert key["token"].startswith(f"{key['hint']}")
    assert [status(farebox, key["token"], path) for path in ("/plans", "/customers", "/api_keys")] == [200, 403, 403]
    successor = rest.post(f"/api_keys/{key['lago_id']}/rotate", {"overlap_seconds": 3600})["key"]
    assert (successor["replaced"]["lago_id"], successor["scopes"]) == (key["lago_id"], ["catalog:read"])
    assert [status(farebox, token, "/plans") for token in (key["token"], successor["token"])] == [200, 200]
    rest.delete(f"/api_keys/{key['lago_id']}")
    wait_until(lambda: status(farebox, key["token"], "/plans") == 401, timeout=PATIENCE_SECONDS, what="the revocation")
    assert status(farebox, successor["token"], "/plans") == 200
    listed = {key["lago_id"]: key for key in rest.get("/api_keys")["keys"]}
    assert listed[key["lago_id"]]["revoked_at"]
    assert listed[successor["lago_id"]]["last_used_at"]
