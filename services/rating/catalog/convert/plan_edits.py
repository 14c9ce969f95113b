"""Changes of one part of a plan: a charge, a filter of a charge, or entitlements; messages to domain and back.

An edit is applied to the plan as it is under the lock, and the whole plan is then read again: so the part is checked as
it would be in a new plan, and two edits made at the same time both take effect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from google.protobuf.message import Message

from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import charge_pb2 as pb
from farebox.rating.v1.plan_pb2 import Plan, PlanEntitlement
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.rating.catalog.convert.metadata import metadata_edit_from_pb
from services.rating.catalog.convert.plans import plan_from_pb, plan_to_pb
from services.rating.pricing.catalog import MAX_PLAN_ENTITLEMENTS, PlanVersion
from services.wire.masks import patched

T = TypeVar("T", bound=Message)

# How many characters of a key an error message repeats.
_SHOWN = 80
# How a plan's check names a part of it, and how the request does.
_PART = re.compile(r"^plan\.charges\[\d+\](\.filters\[\d+\])?")
_ENTITLEMENT = re.compile(r"^plan\.entitlements\[(\d+)\]")


class PlanEdit:
    """A request to change one part of a plan."""

    def __init__(self, request: catalog_service_pb2.EditPlanRequest) -> None:
        """Take the request.

        Raises:
            InvalidArgumentError: the request names no part.
        """
        self._request = request
        self._kind = request.WhichOneof("edit")
        if self._kind is None:
            raise InvalidArgumentError.of_field("edit", "value_is_mandatory", "says which part of the plan changes")
        self._answer = catalog_service_pb2.EditPlanResponse()
        self._features: list[str] = []

    @property
    def code(self) -> str:
        """The plan's code."""
        return self._request.code

    def revise(self, current: PlanVersion) -> PlanVersion:
        """The plan with its part changed.

        Raises:
            NotFoundError: `CHARGE_UNKNOWN`, `CHARGE_FILTER_UNKNOWN`, `ENTITLEMENT_UNKNOWN`.
            InvalidArgumentError: the plan would not be valid.
        """
        plan = plan_to_pb(current)
        self._edit(plan)
        self._features = [entitlement.feature_code for entitlement in plan.entitlements]
        return plan_from_pb(plan)

    @contextmanager
    def in_callers_words(self) -> Iterator[None]:
        """Refusals name the part as the request does: `charge.model`, and not `plan.charges[3].model`."""
        try:
            yield
        except InvalidArgumentError as error:
            if not error.violations:
                raise
            raise InvalidArgumentError.of_fields(
                [replace(violation, field=self._callers(violation.field)) for violation in error.violations]
            ) from error

    def answer(self, changed: PlanVersion) -> catalog_service_pb2.EditPlanResponse:
        """The plan after the change, with the part: as it is now, or as it was if it was removed."""
        answer, plan = self._answer, plan_to_pb(changed)
        answer.plan.CopyFrom(plan)
        match self._kind:
            case "add_charge":
                answer.charge.CopyFrom(plan.charges[-1])
            case "change_charge" | "add_filter" | "change_filter" | "remove_filter":
                answer.charge.CopyFrom(_charge(plan, answer.charge.code))
        if answer.HasField("filter") and self._kind != "remove_filter":
            matched = answer.filter.values
            now = next(price for price in answer.charge.filters if dict(price.values) == dict(matched))
            answer.filter.CopyFrom(now)
        return answer

    def _edit(self, plan: Plan) -> None:
        match self._kind:
            case "add_charge":
                plan.charges.add().CopyFrom(self._request.add_charge)
            case "change_charge":
                self._change_charge(plan)
            case "remove_charge":
                charge = _charge(plan, self._request.remove_charge)
                self._answer.charge.CopyFrom(charge)
                plan.charges.remove(charge)
            case "add_filter":
                self._add_filter(plan)
            case "change_filter":
                self._change_filter(plan)
            case "remove_filter":
                self._remove_filter(plan)
            case "put_entitlements":
                self._put_entitlements(plan)
            case "remove_entitlement":
                self._remove_entitlement(plan)
            case "edit_metadata":
                changed = metadata_edit_from_pb(self._request.edit_metadata).apply(plan.metadata)
                plan.metadata.clear()
                plan.metadata.update(changed)

    def _callers(self, field: str) -> str:
        named = _ENTITLEMENT.match(field)
        if named is not None:
            return f"entitlements.{self._features[int(named.group(1))]}{field[named.end() :]}"
        is_filter = "filter" in (self._kind or "")
        return _PART.sub(
            lambda part: "filter" if is_filter and part.group(1) else f"charge{part.group(1) or ''}", field
        )

    def _change_charge(self, plan: Plan) -> None:
        change = self._request.change_charge
        charge = _charge(plan, change.code)
        charge.CopyFrom(patched(charge, change, "charge", given=("id",)))
        _require_one_model(charge, "charge.filters")
        self._answer.charge.code = change.code

    def _add_filter(self, plan: Plan) -> None:
        addition = self._request.add_filter
        charge = _charge(plan, addition.charge_code)
        charge.filters.add().CopyFrom(addition.filter)
        self._touch(charge, addition.filter)

    def _change_filter(self, plan: Plan) -> None:
        change = self._request.change_filter
        charge = _charge(plan, change.charge_code)
        price = _filter(charge, change.id)
        price.CopyFrom(patched(price, change, "filter", key="id"))
        self._touch(charge, price)

    def _remove_filter(self, plan: Plan) -> None:
        removal = self._request.remove_filter
        charge = _charge(plan, removal.charge_code)
        price = _filter(charge, removal.id)
        self._touch(charge, price)
        charge.filters.remove(price)

    def _touch(self, charge: pb.Charge, price: pb.Charge.FilteredPrice) -> None:
        """Remember which filter changes."""
        _require_one_model(charge, "filter.model")
        self._answer.charge.code = charge.code
        self._answer.filter.CopyFrom(price)

    def _put_entitlements(self, plan: Plan) -> None:
        put = self._request.put_entitlements.entitlements
        if len(put) > MAX_PLAN_ENTITLEMENTS:
            raise InvalidArgumentError.of_field(
                "entitlements", "value_is_invalid", f"are at most {MAX_PLAN_ENTITLEMENTS}"
            )
        if len({entitlement.feature_code for entitlement in put}) != len(put):
            raise InvalidArgumentError.of_field("entitlements", "value_already_exist", "name each feature once")
        if self._request.put_entitlements.replace:
            del plan.entitlements[:]
        places = {entitlement.feature_code: place for place, entitlement in enumerate(plan.entitlements)}
        for entitlement in put:
            place = places.get(entitlement.feature_code)
            target = plan.entitlements.add() if place is None else plan.entitlements[place]
            target.CopyFrom(entitlement)

    def _remove_entitlement(self, plan: Plan) -> None:
        entitlement = _entitlement(plan, self._request.remove_entitlement)
        self._answer.entitlement.CopyFrom(entitlement)
        plan.entitlements.remove(entitlement)


def _require_one_model(charge: pb.Charge, field: str) -> None:
    """Refuse a filter with another model than its charge: what shows a charge shows one model."""
    model = charge.model.WhichOneof("model")
    with inside() as checks:
        if any(price.model.WhichOneof("model") != model for price in charge.filters):
            checks.refuse(field, "value_is_invalid", f"has another model than the charge, which is {model}")


def _charge(plan: Plan, code: str) -> pb.Charge:
    missing = NotFoundError("CHARGE_UNKNOWN", f"the plan has no charge with the code {code[:_SHOWN]!r}")
    return _found(plan.charges, lambda charge: charge.code == code, missing)


def _filter(charge: pb.Charge, filter_id: str) -> pb.Charge.FilteredPrice:
    missing = NotFoundError("CHARGE_FILTER_UNKNOWN", f"the charge has no filter with the id {filter_id[:_SHOWN]!r}")
    return _found(charge.filters, lambda price: price.id == filter_id, missing)


def _entitlement(plan: Plan, feature_code: str) -> PlanEntitlement:
    missing = NotFoundError("ENTITLEMENT_UNKNOWN", f"the plan unlocks nothing of {feature_code[:_SHOWN]!r}")
    return _found(plan.entitlements, lambda entitlement: entitlement.feature_code == feature_code, missing)


def _found(parts: Iterable[T], is_meant: Callable[[T], bool], missing: NotFoundError) -> T:
    part = next(filter(is_meant, parts), None)
    if part is None:
        raise missing
    return part
