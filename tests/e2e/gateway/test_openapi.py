"""Whatever the document allows a caller to send is answered as the document says, and never by an accident.

A smoke run: some examples of every operation against the real suite. `SCHEMATHESIS_EXAMPLES=200` digs deeper.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
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


# Parametrized here and not by schemathesis, whose tests all have one name: of those, xdist runs only one.
OPERATIONS = [result.ok() for result in OFFERED.get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
def test_every_operation_answers_as_it_says(operation: Any, organization: Farebox) -> None:
    """No 5xx, and no status that the document does not name."""
    servers = RAW["paths"][operation.path].get("servers") or RAW["servers"]
    base_url, headers = organization.url + servers[0]["url"], {"Authorization": f"Bearer {organization.secret_key}"}

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def answers_as_it_says(case: schemathesis.Case) -> None:
        response = case.call(base_url=base_url, headers=headers)
        case.validate_response(response, checks=[not_a_server_error, status_code_conformance])

    answers_as_it_says()
