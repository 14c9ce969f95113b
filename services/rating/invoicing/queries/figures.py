"""Reading figures over many invoices and subscriptions."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.cadence import local_date
from services.kernel.checks import inside
from services.kernel.ids import OrganizationId
from services.rating.catalog.store.plans import plan_versions
from services.rating.deps import Deps
from services.rating.invoicing.figures import Figures, MonthlyFigure, months_until, recurring_revenue
from services.rating.invoicing.store import figures as store
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.store import organization as organization_of

DEFAULT_MONTHS = 12
# Three years, to compare a month with the same one of two years before.
MAX_MONTHS = 36


@dataclass(frozen=True, slots=True)
class FiguresWanted:
    """Which figures.

    Attributes:
        figures: what is added up.
        months: how many months, the present one included; 0 means `DEFAULT_MONTHS`.
        currency: only in this currency; empty for all.
        external_customer_id: only of this customer; empty for all.
    """

    figures: Figures
    months: int = 0
    currency: str = ""
    external_customer_id: str = ""

    def __post_init__(self) -> None:
        """Refuse more months than can be asked for, and a customer where figures have none."""
        with inside() as checks:
            if not 0 <= self.months <= MAX_MONTHS:
                checks.refuse("months", "value_is_out_of_range", f"is 1 to {MAX_MONTHS}")
            if self.external_customer_id and self.figures is Figures.RECURRING_REVENUE:
                checks.refuse("external_customer_id", "value_is_invalid", "recurring revenue is of all customers")


def list_figures(deps: Deps, organization: OrganizationId, wanted: FiguresWanted) -> list[MonthlyFigure]:
    """Figures by month."""
    with deps.db.transaction(organization) as tx:
        at, timezone = now_of(deps, tx, organization), organization_of(tx, organization).timezone
        months = months_until(local_date(at, timezone), wanted.months or DEFAULT_MONTHS)
        if wanted.figures is not Figures.RECURRING_REVENUE:
            return store.figures_of_invoices(
                tx,
                organization,
                wanted.figures,
                since=months[0],
                at=at,
                currency=wanted.currency,
                external_customer_id=wanted.external_customer_id,
            )
        moved = store.movements(tx, organization, since=months[0], at=at, timezone=timezone, currency=wanted.currency)
        versions = plan_versions(tx, organization, {movement.plan_id for movement in moved})
    return recurring_revenue(months, moved, {plan_id: version.plan for plan_id, version in versions.items()})
