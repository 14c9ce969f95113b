"""Charge models, one file each, and `price`, which turns units into an amount that explains itself."""

from __future__ import annotations

from fractions import Fraction

from services.rating.pricing.charges.dynamic import Dynamic
from services.rating.pricing.charges.graduated import Graduated
from services.rating.pricing.charges.graduated_percentage import GraduatedPercentage, PercentageTier
from services.rating.pricing.charges.package import Package
from services.rating.pricing.charges.percentage import Percentage
from services.rating.pricing.charges.priced import Line, Lines, Priced, shared
from services.rating.pricing.charges.standard import Standard
from services.rating.pricing.charges.tier import Tier
from services.rating.pricing.charges.transactions import PaidTransactions, Transaction, Transactions, TransactionTerms
from services.rating.pricing.charges.usage import Step, Usage
from services.rating.pricing.charges.volume import Volume

__all__ = [
    "CHARGE_MODELS",
    "ChargeModel",
    "Dynamic",
    "Graduated",
    "GraduatedPercentage",
    "Line",
    "Package",
    "PaidTransactions",
    "Percentage",
    "PercentageTier",
    "Priced",
    "Standard",
    "Step",
    "Tier",
    "Transaction",
    "TransactionTerms",
    "Transactions",
    "Usage",
    "Volume",
    "model_name",
    "price",
]

ChargeModel = Standard | Graduated | Volume | Package | Percentage | GraduatedPercentage | Dynamic

CHARGE_MODELS: dict[str, type[ChargeModel]] = {
    "standard": Standard,
    "graduated": Graduated,
    "volume": Volume,
    "package": Package,
    "percentage": Percentage,
    "graduated_percentage": GraduatedPercentage,
    "dynamic": Dynamic,
}
_NAMES = {model: name for name, model in CHARGE_MODELS.items()}


def model_name(model: ChargeModel) -> str:
    """The word for a charge model, as in `CHARGE_MODELS`."""
    return _NAMES[type(model)]


def price(model: ChargeModel, usage: Usage) -> Priced:
    """The amount of a period's usage under a charge model, in major currency units, with its lines."""
    if usage.steps is not None and isinstance(model, Standard | Graduated):
        found = model.prorated_lines(usage.steps)
    elif isinstance(model, Percentage):
        found = model.lines(usage)
    elif isinstance(model, Dynamic):
        found = Lines(model.lines(usage.units, usage.precise_amount))
    elif usage.rest is None or isinstance(model, Package):
        found = shared(model.lines(usage.units), usage.share)
    else:
        found = _with_rest(model.lines(usage.units), usage.rest)
    return Priced.of(found.lines, usage.units, found.exact)


def _with_rest(lines: tuple[Line, ...], rest: Fraction) -> Lines:
    """Lines whose units have no end as decimals; what is cut off them is priced where the units end."""
    exact = rest * Fraction(lines[-1].unit_amount)
    for line in lines:
        exact += Fraction(line.units) * Fraction(line.unit_amount) + Fraction(line.flat_amount)
    return Lines(lines, exact)
