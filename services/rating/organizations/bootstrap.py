"""The first organization of a development machine: created at the first start, and found at every later one."""

from __future__ import annotations

from services.rating.deps import Deps
from services.rating.organizations.commands import create_organization, keep_api_key
from services.rating.organizations.organization import ApiKeyKind, KeyTerms, token_digest
from services.rating.organizations.store import api_key_by_digest

ORGANIZATION_NAME = "Farebox development"
KEY_NAME = "bootstrap"
# Any number that nothing else locks: two replicas that start at once must not both create it.
ADVISORY_LOCK = 0x626F_6F74


def ensure_bootstrap_key(deps: Deps, token: str) -> None:
    """Make a test-mode organization with this secret key, unless some organization has the key already."""
    with deps.db.worker_transaction() as tx:
        tx.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        if api_key_by_digest(tx, token_digest(token, deps.pepper)) is not None:
            return
        owner = create_organization(deps, tx, {"name": ORGANIZATION_NAME, "test_mode": True})
        keep_api_key(deps, tx, owner.organization_id, KeyTerms(ApiKeyKind.SECRET, KEY_NAME), token)
