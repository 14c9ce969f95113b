"""Imported prices, and organizations' own. Rows are added and never changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection, Row

from services.margin.domain.price import OVERRIDE, ProviderPrice
from services.margin.domain.token import TokenType

_COLUMNS = (
    "provider, model, token_type, amount_per_million, currency, effective_from, effective_to, above_input_tokens, "
    "service_tier"
)


def is_imported(tx: Connection, source: str, content_hash: bytes) -> bool:
    """Whether a catalog with this content was imported before."""
    return bool(
        tx.exec_driver_sql(
            "SELECT 1 FROM catalog_imports WHERE source = %s AND content_hash = %s", (source, content_hash)
        ).first()
    )


def add_import(tx: Connection, source: str, content_hash: bytes, rows: Sequence[ProviderPrice]) -> None:
    """Add a catalog; existing rows stay. Two processes may do this at the same time."""
    tx.exec_driver_sql(
        f"INSERT INTO catalog_prices (id, {_COLUMNS}, daily_start, daily_end, source) "
        "SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::numeric[], %s::text[], "
        "%s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::text[], %s::time[], %s::time[], %s::text[]) "
        "ON CONFLICT DO NOTHING",
        tuple(list(column) for column in zip(*map(_catalog_row, rows), strict=True)),
    )
    tx.exec_driver_sql(
        "INSERT INTO catalog_imports (source, content_hash, row_count) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (source, content_hash, len(rows)),
    )


def _catalog_row(price: ProviderPrice) -> tuple[object, ...]:
    window = price.window
    return (
        price.id,
        *_values(price),
        window.start if window else None,
        window.end if window else None,
        price.source,
    )


def _values(price: ProviderPrice) -> tuple[object, ...]:
    return (
        price.provider,
        price.model,
        price.token_type.value,
        price.amount_per_million,
        price.currency,
        price.effective_from,
        price.effective_to,
        price.above_input_tokens,
        price.service_tier,
    )


def add_override(tx: Connection, organization_id: str, price: ProviderPrice, created_at: datetime) -> None:
    """Add an organization's own price."""
    tx.exec_driver_sql(
        f"INSERT INTO price_overrides (organization_id, id, {_COLUMNS}, created_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (organization_id, price.id, *_values(price), created_at),
    )


def overrides(tx: Connection, organization_ids: Iterable[str]) -> dict[str, list[ProviderPrice]]:
    """The own prices of organizations, by organization."""
    rows = tx.exec_driver_sql(
        f"SELECT organization_id::text, id::text, {_COLUMNS} FROM price_overrides "
        "WHERE organization_id = ANY(%s::uuid[])",
        (sorted(set(organization_ids)),),
    )
    found: dict[str, list[ProviderPrice]] = {}
    for row in rows:
        found.setdefault(row.organization_id, []).append(_override(row))
    return found


def _override(row: Row[tuple[object, ...]]) -> ProviderPrice:
    return ProviderPrice(
        row.id,
        row.provider,
        row.model,
        TokenType(row.token_type),
        row.amount_per_million,
        row.currency,
        row.effective_from,
        row.effective_to,
        row.above_input_tokens,
        source=OVERRIDE,
        service_tier=row.service_tier,
    )
