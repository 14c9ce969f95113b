"""Prices, cost models, ledger entries and alerts, as they are stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.chassis.page import Page
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.kernel.ids import OrganizationId, uuid_or_none
from services.margin.deps import Deps
from services.margin.domain.alert import Alert
from services.margin.domain.cost_model import CostModel
from services.margin.domain.ledger import CostEntry
from services.margin.domain.price import Prices, ProviderPrice
from services.margin.store import alerts, cost_models, ledger, prices, projections
from services.margin.store.ledger import EntryFilter


def provider_prices(
    deps: Deps, organization: OrganizationId, provider: str, model: str, at: datetime | None
) -> list[ProviderPrice]:
    """The prices of a model that hold at an instant, now by default; none where the model is unknown."""
    with deps.db.transaction(organization) as tx:
        instant = at or projections.clock_of(tx, organization) or deps.clock.now()
        overrides = prices.overrides(tx, [organization]).get(organization, ())
    return Prices(deps.prices, overrides).holding(provider, model, instant)


def list_cost_models(deps: Deps, organization: OrganizationId, page: Page) -> tuple[list[CostModel], bool]:
    """A page of cost models, newest first, and whether the list goes on."""
    with deps.db.transaction(organization) as tx:
        found = cost_models.page(tx, organization, _after_an_id(page))
    return found[: page.size], len(found) > page.size


def list_cost_entries(
    deps: Deps, organization: OrganizationId, wanted: EntryFilter, page: Page
) -> tuple[list[CostEntry], bool]:
    """A page of the ledger, newest first, and whether it goes on."""
    named = replace(wanted, model=deps.prices.name("", wanted.model).model if wanted.model else "")
    with deps.db.transaction(organization) as tx:
        found = ledger.page(tx, organization, named, _after_an_id(page))
    return found[: page.size], len(found) > page.size


def get_alert(deps: Deps, organization: OrganizationId, code: str) -> Alert:
    """The alert with this code.

    Raises:
        NotFoundError: `ALERT_UNKNOWN`, there is none.
    """
    with deps.db.transaction(organization) as tx:
        found = alerts.get(tx, organization, code)
    if found is None:
        raise NotFoundError("ALERT_UNKNOWN", f"no alert has the code {code!r}", code=code)
    return found


def list_alerts(deps: Deps, organization: OrganizationId, page: Page) -> tuple[list[Alert], bool]:
    """A page of alerts by code, and whether the list goes on."""
    with deps.db.transaction(organization) as tx:
        found = alerts.page(tx, organization, page)
    return found[: page.size], len(found) > page.size


def _after_an_id(page: Page) -> Page:
    """The page itself, if its token names an id."""
    if page.after and uuid_or_none(page.after[0]) is None:
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    return page
