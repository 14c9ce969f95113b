"""Cost models: how one usage event of a metric turns into units that cost something.

A withdrawn model causes no further costs; what it has costed stays. Among several models, the one with the latest
beginning at or before the event applies; among those with the same beginning, the one created last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from services.kernel.errors import InvalidArgumentError
from services.margin.domain.limits import MAX_COST, MAX_TEXT

# All rates are stored in one row; more models than this belong into provider prices.
MAX_RATED_MODELS = 200


@dataclass(frozen=True, slots=True)
class PerUnit:
    """A fixed cost for each unit.

    Attributes:
        unit_amount: major units of the cost model's currency for one unit.
    """

    unit_amount: Decimal


@dataclass(frozen=True, slots=True)
class Rates:
    """The costs of one model's tokens in the standard service tier, in major units per million; None if not given."""

    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PerModel:
    """Cost by LLM model: by the rates given here, otherwise by provider prices.

    Attributes:
        rates: by model name in lower case.
        provider_property, model_property, token_type_property, tokens_property, service_tier_property: the names of the
            event's properties that hold these values.
    """

    rates: Mapping[str, Rates] = field(default_factory=dict)
    provider_property: str = "provider"
    model_property: str = "model"
    token_type_property: str = "type"  # noqa: S105 - the name of a property
    tokens_property: str = "tokens"
    service_tier_property: str = "service_tier"


@dataclass(frozen=True, slots=True)
class CostModel:
    """How a metric's usage events turn into cost.

    Attributes:
        id: UUID as text, in order of creation.
        name: for people.
        metric_code: the metric whose events cost.
        rule: cost per unit or per model.
        currency: ISO 4217 code of the costs.
        effective_from: the first instant at which it applies; None means from the beginning.
        created_at: when it was made.
        deleted_at: when it was withdrawn; None if it was not.
    """

    id: str
    name: str
    metric_code: str
    rule: PerUnit | PerModel
    currency: str
    created_at: datetime
    effective_from: datetime | None = None
    deleted_at: datetime | None = None


def model_at(models: Iterable[CostModel], at: datetime) -> CostModel | None:
    """The cost model of one metric that applies at an instant; None if none does."""
    holding = [m for m in models if m.deleted_at is None and (m.effective_from is None or m.effective_from <= at)]
    return max(holding, key=_rank, default=None)


def _rank(model: CostModel) -> tuple[bool, datetime, datetime, str]:
    return model.effective_from is not None, model.effective_from or model.created_at, model.created_at, model.id


def require_valid(model: CostModel) -> CostModel:
    """The model itself, or an InvalidArgumentError that names the wrong field."""
    if not 1 <= len(model.metric_code) <= MAX_TEXT:
        raise _wrong("metric_code", f"needs 1 to {MAX_TEXT} characters")
    if len(model.name) > MAX_TEXT:
        raise _wrong("name", f"has at most {MAX_TEXT} characters")
    if isinstance(model.rule, PerUnit):
        _require_a_cost("per_unit.unit_amount", model.rule.unit_amount)
        return model
    if len(model.rule.rates) > MAX_RATED_MODELS:
        raise _wrong("per_model.rates", f"names at most {MAX_RATED_MODELS} models")
    for name, rates in model.rule.rates.items():
        for amount in (rates.input_per_million, rates.output_per_million):
            _require_a_cost(f"per_model.rates[{name}]", amount)
    return model


def _require_a_cost(name: str, amount: Decimal | None) -> None:
    if amount is not None and not 0 <= amount <= MAX_COST:
        raise _wrong(name, f"is 0 to {MAX_COST}")


def _wrong(name: str, description: str) -> InvalidArgumentError:
    return InvalidArgumentError.of_field(f"cost_model.{name}", "value_is_invalid", description)
