"""Making and withdrawing cost models."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.kernel.ids import OrganizationId, new_id, uuid_or_none
from services.margin.deps import Deps
from services.margin.domain.cost_model import CostModel, require_valid
from services.margin.store import cost_model as store


def create_cost_model(deps: Deps, tx: Connection, organization: OrganizationId, model: CostModel) -> CostModel:
    """Make a cost model. For events from its beginning on, it takes over from the metric's previous model.

    Raises:
        InvalidArgumentError: a field is wrong.
    """
    created = require_valid(replace(model, id=new_id(), created_at=deps.clock.now(), deleted_at=None))
    store.add(tx, organization, created)
    return created


def delete_cost_model(deps: Deps, tx: Connection, organization: OrganizationId, cost_model_id: str) -> CostModel:
    """Withdraw a cost model; the costs it has computed stay.

    Raises:
        InvalidArgumentError: the id is not a valid one.
        NotFoundError: `COST_MODEL_UNKNOWN`, there is no such cost model, or it was withdrawn before.
    """
    if uuid_or_none(cost_model_id) is None:
        raise InvalidArgumentError.of_field("id", "value_is_invalid", "is not an id")
    withdrawn = store.withdraw(tx, organization, cost_model_id, deps.clock.now())
    if withdrawn is None:
        raise NotFoundError("COST_MODEL_UNKNOWN", "no cost model has this id", id=cost_model_id)
    return withdrawn
