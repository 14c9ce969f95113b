"""Prices, cost models and ledger entries, as they are stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.chassis.page import Listed, Page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, uuid_or_none
from services.margin.deps import Deps
from services.margin.domain.cost_model import CostModel
from services.margin.domain.ledger import CostEntry
from services.margin.domain.price import ModelCall, Prices, ProviderPrice
from services.margin.store import cost_model as cost_model_store
from services.margin.store import ledger as ledger_store
from services.margin.store import price as price_store
from services.margin.store import projection as projection_store
from services.margin.store.ledger import EntryFilter


def provider_prices(
    deps: Deps, organization: OrganizationId, provider: str, model: str, at: datetime | None
) -> list[ProviderPrice]:
    """The prices of a model that apply at an instant, now by default; none if the model is unknown."""
    with deps.db.transaction(organization) as tx:
        instant = at or projection_store.clock_of(tx, organization) or deps.clock.now()
        overrides = price_store.overrides(tx, [organization]).get(organization, ())
    return Prices(deps.prices, overrides).holding(ModelCall(provider, model), instant)


def list_cost_models(deps: Deps, organization: OrganizationId, page: Page) -> Listed[CostModel]:
    """A page of cost models, newest first."""
    with deps.db.transaction(organization) as tx:
        models = cost_model_store.page(tx, organization, _after_an_id(page))
    return Listed.of(models, page, lambda model: (model.id,))


def list_cost_entries(deps: Deps, organization: OrganizationId, wanted: EntryFilter, page: Page) -> Listed[CostEntry]:
    """A page of the ledger, newest first."""
    named = replace(wanted, model=deps.prices.name("", wanted.model).model if wanted.model else "")
    with deps.db.transaction(organization) as tx:
        entries = ledger_store.page(tx, organization, named, _after_an_id(page))
    return Listed.of(entries, page, lambda entry: (entry.id,))


def _after_an_id(page: Page) -> Page:
    """The page itself, if its token names an id."""
    if page.after and uuid_or_none(page.after[0]) is None:
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    return page
