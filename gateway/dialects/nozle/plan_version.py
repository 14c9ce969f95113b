"""The versions of a plan, and moving subscriptions from one to another, in the way Nozle's SDK asks for it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import catalog_service_pb2 as rpc
from gateway.dialects.lago.plan import Plan, plan_to_api
from gateway.operation import ByCode, Nothing, Request, operation
from gateway.projection import aware, given, project
from gateway.schema import MAX_COUNT, Cents, Date

Version = Annotated[int, Meta(ge=1, le=MAX_COUNT, description="Number of a version of the plan.")]

M = TypeVar("M", bound="MigrationPreview")


class PlanVersions(Struct, kw_only=True):
    """All versions of a plan, oldest first."""

    versions: list[Plan]


class NewMigration(Struct, kw_only=True):
    """Which subscriptions to move, and to which version; by default the current one."""

    from_version: Version
    to_version: Version | UnsetType | None = UNSET


class MigrationItem(Struct, kw_only=True):
    """What happens to one subscription: it moves with its next period, or there is a reason why not."""

    external_subscription_id: str
    outcome: Literal["move", "skip"]
    skip_reason: str | None
    effective_on: Annotated[Date, Meta(description="The day, in UTC, on which the new version begins.")] | None
    current_amount_cents: Cents
    new_amount_cents: Cents


class MigrationPreview(Struct, kw_only=True):
    """What a migration would do to each subscription, at most 10,000 at a time."""

    plan_code: str
    from_version: int
    to_version: int
    matched_count: int
    succeeded_count: int
    skipped_count: int
    items: list[MigrationItem]


class Migration(MigrationPreview, kw_only=True):
    """The result of a migration. It is carried out at once and not stored, so it has no id of its own."""

    status: Literal["succeeded"] = "succeeded"
    failed_count: int = 0


async def find_versions(request: Request[ByCode, Nothing, Nothing]) -> PlanVersions:
    """List the versions of a plan, oldest first."""
    call, asked = request.call, rpc.ListPlanVersionsRequest(code=request.path.code)
    plans = (await call.ask(call.clients.catalog.ListPlanVersions, asked)).plans
    return PlanVersions(versions=[plan_to_api(plan) for plan in reversed(plans)])


async def migrate(request: Request[ByCode, Nothing, NewMigration]) -> Migration:
    """Move subscriptions from one version to another, each at its next period.

    Nothing is invoiced or refunded now. At most 10,000 are moved at a time; repeat the call for the rest.
    """
    return _migration(Migration, request, await _moved(request, request_id=request.call.mutation_id))


async def preview_migration(request: Request[ByCode, Nothing, NewMigration]) -> MigrationPreview:
    """Preview what moving subscriptions to another version would do."""
    # A preview has no identity, so the key stays free for the change itself.
    return _migration(MigrationPreview, request, await _moved(request, validate_only=True))


async def _moved(
    request: Request[ByCode, Nothing, NewMigration], *, request_id: str = "", validate_only: bool = False
) -> rpc.MigratePlanVersionResponse:
    call, body = request.call, request.body
    asked = rpc.MigratePlanVersionRequest(
        request_id=request_id,
        code=request.path.code,
        from_version=body.from_version,
        to_version=given(body.to_version) or 0,
        validate_only=validate_only,
    )
    return await call.ask(call.clients.catalog.MigratePlanVersion, asked)


def _migration(
    struct: type[M], request: Request[ByCode, Nothing, NewMigration], answer: rpc.MigratePlanVersionResponse
) -> M:
    skipped = sum(bool(move.skip_reason) for move in answer.moves)
    return struct(
        plan_code=request.path.code,
        from_version=request.body.from_version,
        to_version=answer.to_version,
        matched_count=len(answer.moves),
        succeeded_count=len(answer.moves) - skipped,
        skipped_count=skipped,
        items=[_item(move) for move in answer.moves],
    )


def _item(move: rpc.MigratePlanVersionResponse.Move) -> MigrationItem:
    return project(
        MigrationItem,
        move,
        outcome="skip" if move.skip_reason else "move",
        effective_on=aware(move.effective_at).date() if move.HasField("effective_at") else None,
    )


_MIGRATIONS = "/plans/{code}/version-migrations"
OPERATIONS = (
    operation("GET", "/plans/{code}/versions", find_versions),
    operation("POST", _MIGRATIONS, migrate, answer_root="plan_version_migration"),
    operation("POST", f"{_MIGRATIONS}/preview", preview_migration, answer_root="plan_version_migration_preview"),
)
