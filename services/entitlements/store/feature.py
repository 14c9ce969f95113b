"""Features by code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection, Row

from services.chassis.page import Page
from services.entitlements.domain.feature import Feature, FeatureType
from services.kernel.ids import OrganizationId

_COLUMNS = "feature_id::text, code, name, description, type, metric_code, created_at, deleted_at"


def find(tx: Connection, organization: OrganizationId, code: str) -> Feature | None:
    """The feature with this code, even if it was removed."""
    return by_codes(tx, organization, [code]).get(code)


def by_codes(tx: Connection, organization: OrganizationId, codes: Iterable[str]) -> dict[str, Feature]:
    """The features with these codes, including removed ones."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM features WHERE organization_id = %s AND code = ANY(%s)",
        (organization, sorted(set(codes))),
    )
    return {row.code: _feature(row) for row in rows}


def page(tx: Connection, organization: OrganizationId, wanted: Page) -> tuple[Sequence[Feature], int]:
    """A page of features by code, with one more if there is a next page, and how many there are in total."""
    after = wanted.after[0] if wanted.after else ""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM features "
        "WHERE organization_id = %s AND deleted_at IS NULL AND code > %s ORDER BY code OFFSET %s LIMIT %s",
        (organization, after, wanted.skip, wanted.size + 1),
    )
    return [_feature(row) for row in rows], count(tx, organization)


def count(tx: Connection, organization: OrganizationId) -> int:
    """How many features are not removed."""
    found: int = tx.exec_driver_sql(
        "SELECT count(*) FROM features WHERE organization_id = %s AND deleted_at IS NULL", (organization,)
    ).scalar_one()
    return found


def save(tx: Connection, organization: OrganizationId, feature: Feature) -> None:
    """Store a feature as it is now."""
    tx.exec_driver_sql(
        "INSERT INTO features (organization_id, feature_id, code, name, description, type, metric_code, "
        "created_at, deleted_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (organization_id, code) DO UPDATE SET name = excluded.name, "
        "description = excluded.description, type = excluded.type, metric_code = excluded.metric_code, "
        "deleted_at = excluded.deleted_at",
        (
            organization,
            feature.id,
            feature.code,
            feature.name,
            feature.description,
            feature.type,
            feature.metric_code,
            feature.created_at,
            feature.deleted_at,
        ),
    )


def register(tx: Connection, organization: OrganizationId, features: Sequence[Feature]) -> None:
    """Store features that a plan names, unless their codes are known already."""
    if features:
        tx.exec_driver_sql(
            "INSERT INTO features (organization_id, feature_id, code, name, description, type, metric_code, "
            "created_at) SELECT %s, f.*, %s FROM "
            "unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) AS f "
            "ON CONFLICT DO NOTHING",
            (
                organization,
                features[0].created_at,
                [feature.id for feature in features],
                [feature.code for feature in features],
                [feature.name for feature in features],
                [feature.description for feature in features],
                [feature.type for feature in features],
                [feature.metric_code for feature in features],
            ),
        )


def delete(tx: Connection, organization: OrganizationId, code: str, *, at: datetime) -> None:
    """Mark a feature as removed; its row stays, so that a plan that names it does not restore it."""
    tx.exec_driver_sql(
        "UPDATE features SET deleted_at = %s WHERE organization_id = %s AND code = %s", (at, organization, code)
    )


def _feature(row: Row[tuple[object, ...]]) -> Feature:
    return Feature(
        id=row.feature_id,
        code=row.code,
        name=row.name,
        description=row.description,
        type=FeatureType(row.type),
        metric_code=row.metric_code,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
    )
