"""Whatever the document allows a caller to send is answered as the document says, and never by an accident.

A smoke run: some examples of every operation against the real suite. `SCHEMATHESIS_EXAMPLES=200` digs deeper.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from farebox.testing import Farebox, FareboxServer

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "20"))
RAW = yaml.safe_load((ROOT / "gateway" / "openapi.yaml").read_text())
DOCUMENT = schemathesis.openapi.from_dict(RAW)


def _is_offered(context: schemathesis.HookContext) -> bool:
    """Whether an operation does more than answer that it is not offered."""
    assert context.operation is not None
    return any(status.startswith("2") for status in context.operation.definition.raw["responses"])


OFFERED = DOCUMENT.include(_is_offered)


@pytest.fixture(scope="module")
def organization(farebox_server: FareboxServer) -> Farebox:
    """One organization for all operations, so that what one makes another finds."""
    return farebox_server.new_organization()


@OFFERED.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_operation_answers_as_it_says(case: schemathesis.Case, organization: Farebox) -> None:
    """No 5xx, and no status that the document does not name."""
    servers = RAW["paths"][case.operation.path].get("servers") or RAW["servers"]
    response = case.call(
        base_url=organization.url + servers[0]["url"], headers={"Authorization": f"Bearer {organization.secret_key}"}
    )
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance])
