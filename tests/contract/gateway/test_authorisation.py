"""The authorisation matrix: every operation of every dialect under each kind of key; only the right ones pass.

It is generated from the operations, so that no route is left out. What rating says of a revoked or an expired key is
proved in tests/integration/rating/test_api_keys.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
import pytest

from farebox.rating.v1.organization_pb2 import ApiKey, Organization
from gateway import app
from gateway.auth.scopes import SCOPES, Scope
from gateway.dialect import Dialect
from gateway.dialects import DIALECTS
from gateway.operation import Endpoint, NotOffered
from services.kernel import errors
from tests.support.gateway import ORGANIZATION_ID, PUBLISHABLE, REVOKED, SECRET, Asked, FakeServices

OTHER_ID = "0198c0de-0000-7000-8000-000000000002"
OTHER, RESTRICTED, LACKING, EXPIRED = "sk_test_other", "sk_test_restricted", "sk_test_lacking", "sk_test_expired"
# What a caller could try instead of a key of the organization.
FORGED = {"farebox-organization-id": OTHER_ID, "X-Organization-Id": OTHER_ID, "X-Lago-Organization": OTHER_ID}
REFUSED = (401, 403)
POWERLESS = ("", "nonsense", "sk_test_wrong", REVOKED, EXPIRED)
KEYS = (*POWERLESS, PUBLISHABLE, RESTRICTED, LACKING, OTHER, SECRET)


def offered() -> Iterator[tuple[Dialect, Endpoint]]:
    """Every operation, once; those that are not offered have nothing to protect."""
    for dialect in DIALECTS:
        seen = set()
        for operation in dialect.operations:
            if not isinstance(operation, NotOffered) and (operation.method, operation.path) not in seen:
                seen.add((operation.method, operation.path))
                yield dialect, operation


OPERATIONS = list(offered())
PLACES = range(len(OPERATIONS))
each = pytest.mark.parametrize(
    "place", PLACES, ids=[f"{dialect.name}:{operation.method} {operation.path}" for dialect, operation in OPERATIONS]
)


@dataclass(frozen=True)
class Tried:
    """What came of a request for an operation with a key.

    Attributes:
        operation: the operation.
        response: the answer.
        asked: what services were asked, beyond whose key it is.
    """

    operation: Endpoint
    response: httpx.Response
    asked: Sequence[Asked]

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def organizations(self) -> set[str]:
        """For whom services were asked."""
        return {call.organization for call in self.asked}


Matrix = Mapping[tuple[int, str], Tried]


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """Every operation with every kind of key, one after the other."""
    return asyncio.run(tried())


async def tried() -> Matrix:
    services = FakeServices(Organization(id=ORGANIZATION_ID))
    services.everything_else = errors.NotFoundError("OBJECT_UNKNOWN", "there is no such thing")
    services.keys[OTHER] = ApiKey(kind=ApiKey.KIND_SECRET)
    services.owners[OTHER] = Organization(id=OTHER_ID)
    for place, (_, operation) in enumerate(OPERATIONS):
        others = sorted(SCOPES - {operation.permission})
        services.keys[f"{RESTRICTED}{place}"] = ApiKey(kind=ApiKey.KIND_SECRET, scopes=[operation.permission])
        services.keys[f"{LACKING}{place}"] = ApiKey(kind=ApiKey.KIND_SECRET, scopes=others)
    transport = httpx.ASGITransport(app=app.Gateway(DIALECTS, services))  # type: ignore[arg-type]
    found = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://farebox", headers=FORGED) as client:
        for place, (dialect, operation) in enumerate(OPERATIONS):
            for key in KEYS:
                services.asked.clear()
                token = f"{key}{place}" if key in (RESTRICTED, LACKING) else key
                response = await send(client, dialect, operation, token)
                asked = [call for call in services.asked if call.method != "AuthenticateApiKey"]
                found[place, key] = Tried(operation, response, asked)
    return found


async def send(client: httpx.AsyncClient, dialect: Dialect, operation: Endpoint, key: str) -> httpx.Response:
    path = dialect.bases[0] + re.sub(r"\{\w+\}", "01a21dcc-1d05-7500-a36e-545776a9bee2", operation.path)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    headers |= {"Content-Type": "application/cloudevents+json"} if dialect.name == "cloudevents" else {}
    return await client.request(operation.method, path, headers=headers)


@each
@pytest.mark.parametrize("key", POWERLESS)
def test_without_a_key_that_works_nothing_is_asked(matrix: Matrix, place: int, key: str) -> None:
    """None, wrong, revoked and expired are alike: 401, and no service hears of it."""
    tried = matrix[place, key]
    if tried.operation.scope is Scope.NONE:
        assert tried.status not in REFUSED
    else:
        assert (tried.status, tried.asked) == (401, [])
        assert tried.response.headers["WWW-Authenticate"] == "Bearer"


@each
def test_a_publishable_key_reads_what_is_public(matrix: Matrix, place: int) -> None:
    tried = matrix[place, PUBLISHABLE]
    if tried.operation.scope is Scope.SECRET:
        assert (tried.status, tried.asked) == (403, [])
    else:
        assert tried.status not in REFUSED


@each
def test_a_restricted_key_does_what_its_scope_names(matrix: Matrix, place: int) -> None:
    """One scope is enough, and all others together are not."""
    assert matrix[place, RESTRICTED].status not in REFUSED
    tried = matrix[place, LACKING]
    if tried.operation.permission:
        assert (tried.status, tried.asked) == (403, [])
        assert tried.operation.permission in tried.response.text
    else:
        assert tried.status not in REFUSED


@each
def test_what_belongs_to_another_organization_is_not_there(matrix: Matrix, place: int) -> None:
    """A valid key of another organization asks for that one alone, whatever headers claim; a foreign id is 404."""
    tried = matrix[place, OTHER]
    assert tried.status not in REFUSED
    assert tried.organizations <= {OTHER_ID}
    if "{" in tried.operation.path and tried.asked:
        assert tried.status == 404, tried.response.text


@each
def test_the_right_key_passes(matrix: Matrix, place: int) -> None:
    tried = matrix[place, SECRET]
    assert tried.status not in REFUSED
    assert tried.organizations <= {ORGANIZATION_ID}


def test_the_matrix_is_large(matrix: Matrix) -> None:
    """It is of all dialects, and most routes need a scope; only `ping` needs none."""
    assert len(matrix) == len(OPERATIONS) * len(KEYS) > 1000
    assert {dialect.name for dialect, _ in OPERATIONS} == {dialect.name for dialect in DIALECTS}
    assert {operation.path for _, operation in OPERATIONS if not operation.permission} == {"/ping"}
    assert {operation.permission for _, operation in OPERATIONS} <= SCOPES | {""}
    asking = [tried.operation.path for (_, key), tried in matrix.items() if key == OTHER and tried.asked]
    assert len(asking) > len(OPERATIONS) / 2


@pytest.mark.parametrize("permission", sorted({operation.permission for _, operation in OPERATIONS} - {"", "keys"}))
def test_a_scope_is_of_the_area_that_its_name_says(permission: str) -> None:
    """Reading never needs a scope for writing, and writing always does."""
    for _, operation in OPERATIONS:
        if operation.permission == permission:
            is_read = permission.endswith(":read")
            assert is_read or operation.method != "GET", operation.path
            assert not is_read or operation.method in ("GET", "POST"), operation.path
