"""Cost models. A withdrawn cost model keeps its row, since ledger entries name it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Page
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit, Rates

_COLUMNS = "organization_id::text, id::text, name, metric_code, rule, currency, effective_from, created_at, deleted_at"


def add(tx: Connection, organization_id: str, model: CostModel) -> None:
    """Add a cost model."""
    tx.exec_driver_sql(
        "INSERT INTO cost_models (organization_id, id, name, metric_code, rule, currency, effective_from, created_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            organization_id,
            model.id,
            model.name,
            model.metric_code,
            Jsonb(_rule_to_json(model.rule)),
            model.currency,
            model.effective_from,
            model.created_at,
        ),
    )


def withdraw(tx: Connection, organization_id: str, cost_model_id: str, at: datetime) -> CostModel | None:
    """Withdraw a cost model that is not withdrawn yet; None if there is none."""
    row = tx.exec_driver_sql(
        f"UPDATE cost_models SET deleted_at = %s WHERE organization_id = %s AND id = %s AND deleted_at IS NULL "
        f"RETURNING {_COLUMNS}",
        (at, organization_id, cost_model_id),
    ).first()
    return _model(row) if row else None


def page(tx: Connection, organization_id: str, wanted: Page) -> list[CostModel]:
    """A page of an organization's cost models, newest first, with one more if the list continues."""
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM cost_models WHERE organization_id = %s AND (%s::uuid IS NULL OR id < %s::uuid) "
        "ORDER BY id DESC LIMIT %s OFFSET %s",
        (organization_id, *([*wanted.after, None][:1] * 2), wanted.size + 1, wanted.skip),
    )
    return [_model(row) for row in rows]


def holding(tx: Connection, metrics: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[CostModel]]:
    """The cost models that are not withdrawn, by (organization, metric code)."""
    wanted = sorted(set(metrics))
    rows = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM cost_models JOIN unnest(%s::uuid[], %s::text[]) AS wanted(organization, code) "
        "ON organization_id = wanted.organization AND metric_code = wanted.code WHERE deleted_at IS NULL",
        ([organization for organization, _ in wanted], [code for _, code in wanted]),
    )
    found: dict[tuple[str, str], list[CostModel]] = {}
    for row in rows:
        found.setdefault((row.organization_id, row.metric_code), []).append(_model(row))
    return found


def _model(row: Row[Any]) -> CostModel:
    return CostModel(
        row.id,
        row.name,
        row.metric_code,
        _rule_from_json(row.rule),
        row.currency,
        row.created_at,
        row.effective_from,
        row.deleted_at,
    )


def _rule_to_json(rule: PerUnit | PerModel) -> dict[str, Any]:
    """The rule with amounts as text, because a JSON number may pass through a float on its way."""
    if isinstance(rule, PerUnit):
        return {"kind": "per_unit", "unit_amount": str(rule.unit_amount)}
    return {
        "kind": "per_model",
        "rates": {
            name: [_text(rates.input_per_million), _text(rates.output_per_million)]
            for name, rates in rule.rates.items()
        },
        "properties": [
            rule.provider_property,
            rule.model_property,
            rule.token_type_property,
            rule.tokens_property,
            rule.service_tier_property,
        ],
    }


def _rule_from_json(rule: dict[str, Any]) -> PerUnit | PerModel:
    if rule["kind"] == "per_unit":
        return PerUnit(Decimal(rule["unit_amount"]))
    rates = {name: Rates(*map(_number, amounts)) for name, amounts in rule["rates"].items()}
    return PerModel(rates, *rule["properties"])


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
