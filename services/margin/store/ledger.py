"""The cost ledger. Entries are added and never changed; the database roles may not even try."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.chassis.columns import texts, times, words
from services.chassis.page import Page
from services.margin.domain.costing import CostLine
from services.margin.domain.ledger import CostEntry, EntryKind, Origin, Source
from services.margin.domain.token import TokenType
from services.margin.store import cost_hour

_COLUMNS = (
    "organization_id, id, kind, source, source_id, reverses_id, external_customer_id, subscription_id, code, provider, "
    "model, token_type, units, unit_amount, amount, currency, price_id, entry_count, occurred_at, "
    "parent_transaction_id, request_id, operation_key"
)
_ADD = f"""
INSERT INTO cost_entries ({_COLUMNS}) SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[],
    %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[],
    %s::numeric[], %s::text[], %s::uuid[], %s::smallint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[])
"""


@dataclass(frozen=True)
class EntryFilter:
    """Which entries of the ledger to list; an empty field does not filter.

    Attributes:
        external_customer_id: only this customer's.
        model: only of this model, as the catalog names it.
        is_unpriced_only: only those without a price that were not reversed.
    """

    external_customer_id: str = ""
    model: str = ""
    is_unpriced_only: bool = False


COPY_SQL = f"COPY cost_entries ({_COLUMNS}) FROM STDIN"


def add(tx: Connection, entries: Sequence[CostEntry]) -> None:
    """Add entries, also to the sums of their hours."""
    if not entries:
        return
    tx.exec_driver_sql(_ADD, _columns(entries))
    cost_hour.add(tx, entries)


def standing(tx: Connection, source: Source, ids: Iterable[tuple[str, str]]) -> list[CostEntry]:
    """The original entries of events, by (organization, source id), that were not reversed."""
    wanted = sorted(set(ids))
    rows = tx.exec_driver_sql(
        f"SELECT {_selected('e')} FROM cost_entries e "
        "JOIN unnest(%s::uuid[], %s::text[]) AS wanted(organization, source_id) "
        "ON e.organization_id = wanted.organization AND e.source_id = wanted.source_id "
        "WHERE e.source = %s AND e.kind = 'original' AND NOT EXISTS (SELECT 1 FROM cost_entries r "
        "WHERE r.organization_id = e.organization_id AND r.reverses_id = e.id) ORDER BY e.id",
        ([organization for organization, _ in wanted], [source_id for _, source_id in wanted], source.value),
    )
    return [_entry(row) for row in rows]


def page(tx: Connection, organization_id: str, wanted: EntryFilter, part: Page) -> list[CostEntry]:
    """A page of an organization's ledger, newest first, with one more entry if the list continues."""
    rows = tx.exec_driver_sql(
        f"SELECT {_selected('e')} FROM cost_entries e WHERE organization_id = %(organization)s "
        "AND (%(after)s::uuid IS NULL OR id < %(after)s::uuid) "
        "AND (%(customer)s = '' OR external_customer_id = %(customer)s) "
        "AND (%(model)s = '' OR model = %(model)s) "
        "AND (NOT %(unpriced)s OR (amount IS NULL AND kind = 'original' AND NOT EXISTS (SELECT 1 FROM cost_entries r "
        "WHERE r.organization_id = e.organization_id AND r.reverses_id = e.id))) "
        "ORDER BY id DESC LIMIT %(limit)s OFFSET %(skip)s",
        {
            "organization": organization_id,
            "after": part.after[0] if part.after else None,
            "customer": wanted.external_customer_id,
            "model": wanted.model,
            "unpriced": wanted.is_unpriced_only,
            "limit": part.size + 1,
            "skip": part.skip,
        },
    )
    return [_entry(row) for row in rows]


def _selected(alias: str) -> str:
    """The columns, ids as text."""
    ids = {"organization_id", "id", "reverses_id", "subscription_id", "price_id"}
    return ", ".join(f"{alias}.{c}::text" if c in ids else f"{alias}.{c}" for c in _COLUMNS.split(", "))


def _columns(entries: Sequence[CostEntry]) -> tuple[str, ...]:
    """The columns of the ledger, each as an array."""
    ids, kinds, origins, lines, reversed_ids = zip(*entries, strict=True)
    owners, sources, source_ids, customers, subscriptions, codes, instants, parents, requests, operations = zip(
        *origins, strict=True
    )
    providers, models, token_types, units, unit_amounts, amounts, currencies, prices = zip(*lines, strict=True)
    return (
        words(owners),
        words(ids),
        words(kinds),
        words(sources),
        texts(source_ids),
        words(reversed_ids),
        texts(customers),
        words(subscriptions),
        texts(codes),
        texts(providers),
        texts(models),
        texts([kind.value if kind else "" for kind in token_types]),
        words(units),
        words(unit_amounts),
        words(amounts),
        texts(currencies),
        words(prices),
        words([entry.entry_count for entry in entries]),
        times(instants),
        texts(parents),
        texts(requests),
        texts(operations),
    )


def _entry(row: Row[Any]) -> CostEntry:
    origin = Origin(
        row.organization_id,
        Source(row.source),
        row.source_id,
        row.external_customer_id,
        row.subscription_id,
        row.code,
        row.occurred_at,
        row.parent_transaction_id,
        row.request_id,
        row.operation_key,
    )
    line = CostLine(
        row.provider,
        row.model,
        TokenType(row.token_type) if row.token_type else None,
        row.units,
        row.unit_amount,
        row.amount,
        row.currency,
        row.price_id,
    )
    return CostEntry(row.id, EntryKind(row.kind), origin, line, row.reverses_id)
