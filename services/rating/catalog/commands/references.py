"""The references of a plan: its charges' metrics and its taxes. Found, checked, and written into the plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from services.kernel.checks import Checks, inside
from services.kernel.ids import OrganizationId
from services.rating.catalog.store.metrics import metric_codes_by_id, metrics_by_code
from services.rating.catalog.store.taxes import tax_codes_of, taxes_by_code
from services.rating.deps import Deps
from services.rating.pricing.catalog import MetricVersion, PlanVersion
from services.rating.pricing.plan import Charge, with_codes

# How many characters of a code an error message repeats.
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Known:
    """The things named by a plan that exist.

    Attributes:
        metrics: metrics by code.
        metric_codes: codes of metrics by Farebox id.
        tax_codes: codes of taxes.
        features: codes of features, which are entitlements' own.
    """

    metrics: Mapping[str, MetricVersion]
    metric_codes: Mapping[str, str]
    tax_codes: Collection[str]
    features: Collection[str]


def settle_references(
    deps: Deps, tx: Connection, organization: OrganizationId, draft: PlanVersion, current: PlanVersion | None = None
) -> PlanVersion:
    """The draft with the metric of each charge, found by id or code, and with a code for each charge.

    A tax or a feature that the current version names may have been removed since; a metric that a plan on sale names
    cannot be.

    Raises:
        InvalidArgumentError: names everything that does not exist or does not fit.
        UnavailableError: the plan names a feature that it did not name before, and entitlements cannot be asked.
    """
    known = _known(deps, tx, organization, draft, current)
    with inside("plan") as checks:
        for number, charge in enumerate(draft.plan.charges):
            checks(_check_charge, charge, f"charges[{number}]", known)
        for number, entitlement in enumerate(draft.plan.entitlements):
            if entitlement.feature_code not in known.features:
                _refuse(checks, f"entitlements[{number}].feature_code", entitlement.feature_code)
            if entitlement.metric_code and entitlement.metric_code not in known.metrics:
                _refuse(checks, f"entitlements[{number}].metric_code", entitlement.metric_code)
        _check_taxes(checks, draft.tax_codes, known)
    charges = with_codes(tuple(_settled(charge, known) for charge in draft.plan.charges))
    return replace(draft, plan=replace(draft.plan, charges=charges))


def _known(
    deps: Deps, tx: Connection, organization: OrganizationId, draft: PlanVersion, current: PlanVersion | None
) -> Known:
    plan = draft.plan
    by_id = metric_codes_by_id(tx, organization, {charge.metric_id for charge in plan.charges if charge.metric_id})
    named = {charge.metric_code for charge in plan.charges} | {limit.metric_code for limit in plan.entitlements}
    kept = tax_codes_of(current) if current is not None else set()
    return Known(
        metrics=metrics_by_code(tx, organization, (named | set(by_id.values())) - {""}),
        metric_codes=by_id,
        tax_codes=kept | set(taxes_by_code(tx, organization, tax_codes_of(draft) - kept)),
        features=_features(deps, organization, draft, current),
    )


def _features(
    deps: Deps, organization: OrganizationId, draft: PlanVersion, current: PlanVersion | None
) -> Collection[str]:
    """The features that a plan may name; entitlements is asked about those that it did not name before."""
    kept = {terms.feature_code for terms in current.plan.entitlements} if current is not None else set()
    new = {terms.feature_code for terms in draft.plan.entitlements} - kept
    return kept | set(deps.known_features(organization, new)) if new else kept


def _check_charge(charge: Charge, path: str, known: Known) -> None:
    with inside(path) as checks:
        _check_taxes(checks, charge.tax_codes, known)
        by_id = known.metric_codes.get(charge.metric_id)
        if charge.metric_id and by_id is None:
            checks.refuse("metric_id", "value_is_invalid", "no metric has this id")
        elif charge.metric_id and charge.metric_code not in {"", by_id}:
            checks.refuse("metric_id", "value_is_invalid", "is the id of another metric than metric_code names")
        elif (code := charge.metric_code or by_id or "") not in known.metrics:
            _refuse(checks, "metric_code", code)
        else:
            charge.check_metric(known.metrics[code].definition)


def _check_taxes(checks: Checks, codes: Collection[str], known: Known) -> None:
    for number, code in enumerate(codes):
        if code not in known.tax_codes:
            _refuse(checks, f"tax_codes[{number}]", code)


def _refuse(checks: Checks, path: str, code: str) -> None:
    checks.refuse(path, "value_is_invalid", f"nothing has the code {code[:_SHOWN]!r}")


def _settled(charge: Charge, known: Known) -> Charge:
    code = charge.metric_code or known.metric_codes[charge.metric_id]
    return replace(charge, metric_code=code, metric_id=known.metrics[code].metric_id)
