"""Who changed what is found over REST, and its chain is closed by itself."""

from __future__ import annotations

from typing import Any

import httpx

from farebox.testing import Farebox, Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS


def renamed(farebox: Farebox, name: str) -> str:
    """Create or rename a customer; the id of the request."""
    headers = {"Authorization": f"Bearer {farebox.secret_key}", "X-Request-Id": f"rename-{name}"}
    body = {"customer": {"external_id": "acme", "name": name}}
    answer = httpx.post(f"{farebox.url}/api/v1/customers", json=body, headers=headers, timeout=PATIENCE_SECONDS)
    answer.raise_for_status()
    return answer.headers["X-Request-Id"]


def test_a_change_is_noted_chained_and_verified(farebox: Farebox, rest: Rest) -> None:
    """With the key that was used and the request it came with; a key is in no entry."""
    requests = [renamed(farebox, name) for name in ("Acme", "Acme Corp")]

    def chained() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = rest.get("/audit_log", subject="customer", subject_id="acme")["audit_log"]
        return found if len(found) == 2 and all(entry["number"] for entry in found) else []

    newest, first = wait_until(chained, timeout=PATIENCE_SECONDS, what="the end of the chain")
    assert [first["request_id"], newest["request_id"]] == requests
    assert (newest["before"]["name"], newest["after"]["name"]) == ("Acme", "Acme Corp")
    used = {key["lago_id"] for key in rest.get("/api_keys")["keys"]}
    assert newest["actor"] == first["actor"] in used
    assert farebox.secret_key not in str(rest.get("/audit_log"))
    verified = rest.get("/audit_log/verification")["verification"]
    assert (verified["broken_at"], verified["whole"], verified["last_number"]) == (None, True, newest["number"])
