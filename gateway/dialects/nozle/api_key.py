"""The keys of the organization: listed, made, replaced and revoked, by whoever has the scope `keys`.

A key is called `token` on the wire, since clients hide what ends in `_key`; it is shown once.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import organization_service_pb2 as rpc
from farebox.rating.v1.organization_pb2 import ApiKey as ApiKeyMessage
from gateway.auth.scopes import SCOPES
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.common import Identified, Name
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ById, Listed, Nothing, Request, operation
from gateway.projection import given, patch, project
from gateway.schema import Count, Instant, InstantInput, Words

KIND = Words(ApiKeyMessage.Kind, "KIND_")
# A day: longer than a roll-out takes, shorter than a key that leaked should live.
OVERLAP_SECONDS = 24 * 3600
_Scopes = Annotated[list[str], Meta(min_length=1, description=f"Some of {', '.join(sorted(SCOPES))}.")]
_End = Annotated[InstantInput, Meta(description="When it stops working by itself; by the machine's clock.")]


class NewApiKey(Struct, kw_only=True):
    """A key that does not exist yet; without `scopes` it may do everything that its kind may."""

    name: Name
    kind: Annotated[str, KIND.meta] = "secret"
    scopes: _Scopes | UnsetType = UNSET
    expires_at: _End | UnsetType = UNSET


class Rotation(Struct, kw_only=True):
    """How a key is replaced."""

    overlap_seconds: Annotated[Count, Meta(description="How long the replaced key works on.")] = OVERLAP_SECONDS
    expires_at: _End | UnsetType = UNSET


class ApiKey(Identified, kw_only=True):
    """A key, without itself; `hint` is how it begins."""

    name: str
    kind: Annotated[str, KIND.told] | None
    hint: str
    scopes: Annotated[list[str], Meta(description="What a restricted key may do; empty for everything.")]
    created_at: Instant | None
    expires_at: Instant | None
    last_used_at: Annotated[Instant | None, Meta(description="To the minute.")]
    revoked_at: Instant | None
    replaces_id: str | None


class ShownApiKey(ApiKey, kw_only=True):
    """A new key: the only time it is shown."""

    token: str


class RotatedApiKey(ShownApiKey, kw_only=True):
    """A new key, and the one that it replaces, with its end."""

    replaced: ApiKey


async def find_all(request: Request[Nothing, PageQuery, Nothing]) -> Listed[ApiKey]:
    """List the organization's keys, newest first; also those that do not work any more."""
    return await listed(request.call, rpc.ListApiKeysRequest, request.query, _key)


async def create(request: Request[Nothing, Nothing, NewApiKey]) -> ShownApiKey:
    """Make a key; the answer is the only time it is shown.

    A repeat with the same Idempotency-Key makes no second one and answers 409 `api_key_shown`. A restricted key makes
    only keys with some of its own scopes.
    """
    call, body, scopes = request.call, request.body, given(request.body.scopes) or []
    refusals = Refusals()
    if body.scopes == []:
        refusals.add("scopes", "value_is_invalid", "names at least one; leave it out for a key that may do everything")
    for place, scope in enumerate(scopes):
        if scope not in SCOPES:
            refusals.add(f"scopes[{place}]", "value_is_invalid", "is not a scope")
    refusals.raise_any()
    asked, _ = patch(rpc.CreateApiKeyRequest(request_id=call.mutation_id), body)
    asked.within_scopes.extend(sorted(call.caller.scopes))
    answer = await call.ask(call.clients.organizations.CreateApiKey, asked)
    return project(ShownApiKey, answer.api_key, scopes=list(answer.api_key.scopes), token=answer.token)


async def rotate(request: Request[ById, Nothing, Rotation]) -> RotatedApiKey:
    """Replace a key by a new one that may do the same; both work until the overlap ends.

    Repeats and restricted keys are treated as when a key is made.
    """
    call, asked = request.call, rpc.RotateApiKeyRequest(request_id=request.call.mutation_id, api_key_id=request.path.id)
    patch(asked, request.body)
    asked.within_scopes.extend(sorted(call.caller.scopes))
    answer = await call.ask(call.clients.organizations.RotateApiKey, asked)
    key, replaced = answer.api_key, _key(answer.replaced)
    return project(RotatedApiKey, key, scopes=list(key.scopes), token=answer.token, replaced=replaced)


async def revoke(request: Request[ById, Nothing, Nothing]) -> ApiKey:
    """Revoke a key; within a second no gateway takes it any more."""
    call, asked = request.call, rpc.RevokeApiKeyRequest(request_id=request.call.mutation_id, api_key_id=request.path.id)
    return _key((await call.ask(call.clients.organizations.RevokeApiKey, asked)).api_key)


def _key(key: ApiKeyMessage) -> ApiKey:
    return project(ApiKey, key, scopes=list(key.scopes))


_NAMES = {"api_key_id": "id"}
OPERATIONS = (
    operation("GET", "/api_keys", find_all, answer_root="keys"),
    operation("POST", "/api_keys", create, root="key", shows_secret=True),
    operation("POST", "/api_keys/{id}/rotate", rotate, answer_root="key", shows_secret=True, names=_NAMES),
    operation("DELETE", "/api_keys/{id}", revoke, answer_root="key", names=_NAMES),
)
