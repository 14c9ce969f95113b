"""The price and the group to which a usage event belongs within a charge."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.kernel.errors import InvalidArgumentError
from services.rating.pricing.charges import ChargeModel
from services.rating.pricing.metric import property_text

Group = tuple[tuple[str, str], ...]
# The accepted values of each property.
Conditions = tuple[tuple[str, tuple[str, ...]], ...]
# Any fixed UUID: ids that are made from content are made within it.
_FILTERS = uuid.UUID("6f0c3f0e-6a0b-4b52-9d53-0f0a3c6b5f11")


@dataclass(frozen=True, slots=True)
class ChargeFilter:
    """A price of its own for events with certain properties.

    Attributes:
        key: stable name within the charge, never empty.
        conditions: properties with their accepted values; every condition must hold. Without values, any value is
            accepted.
        model: the price.
        description: what an invoice calls it.
    """

    key: str
    conditions: Conditions
    model: ChargeModel
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse a filter that has no name or matches everything."""
        if not self.key:
            raise InvalidArgumentError.of_field("filters.key", "value_is_mandatory", "names the filter")
        if not self.conditions:
            raise InvalidArgumentError.of_field("filters.conditions", "value_is_mandatory", "has a condition")

    def matches(self, properties: Mapping[str, object]) -> bool:
        """Whether an event has every property the filter asks for."""
        for name, accepted in self.conditions:
            text = property_text(properties.get(name))
            if text is None or (accepted and text not in accepted):
                return False
        return True

    def id_within(self, plan_code: str, charge_code: str) -> str:
        """Its id for callers, the same in all versions of a plan: it follows from what only this one matches."""
        matched = sorted((name, sorted(values)) for name, values in self.conditions)
        return str(uuid.uuid5(_FILTERS, json.dumps([plan_code, charge_code, matched])))

    @property
    def specificity(self) -> tuple[int, int]:
        """More conditions are more specific; among as many, those that name their values."""
        return len(self.conditions), sum(bool(accepted) for _, accepted in self.conditions)


class Bucket(NamedTuple):
    """The part of a charge in which usage is counted; each bucket becomes one fee.

    Attributes:
        filter_key: the filter that matched; empty for the charge's own price.
        group: the group keys with the event's values; empty text for a property it lacks.
    """

    filter_key: str = ""
    group: Group = ()


def most_specific(filters: Sequence[ChargeFilter], properties: Mapping[str, object]) -> ChargeFilter | None:
    """The most specific filter that matches, the first of equals; None if only the charge's own price applies."""
    matching = [charge_filter for charge_filter in filters if charge_filter.matches(properties)]
    return max(matching, key=lambda charge_filter: charge_filter.specificity, default=None)


def bucket_of(filters: Sequence[ChargeFilter], group_keys: Sequence[str], properties: Mapping[str, object]) -> Bucket:
    """The bucket in which a charge counts an event with these properties."""
    matched = most_specific(filters, properties) if filters else None
    group = tuple((key, property_text(properties.get(key)) or "") for key in group_keys)
    return Bucket(matched.key if matched else "", group)
