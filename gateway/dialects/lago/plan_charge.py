"""Charges of a plan and their filters, one by one; a subscription's are those of its plan version, and only read.

A change is one call: rating applies it to the plan as it is, under the plan's lock. The plan is read first only for
what a body leaves out, the charge's model; if another caller changes that meanwhile, rating refuses the older model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from msgspec import UNSET, Struct, field

from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.charge_pb2 import Charge as ChargeMessage
from farebox.rating.v1.plan_pb2 import Plan
from farebox.rating.v1.subscription_service_pb2 import GetSubscriptionRequest
from gateway.call import Call
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.charge import (
    CHARGE_NAMES,
    FILTER_NAMES,
    Charge,
    ChargeChange,
    ChargeFilter,
    ChargeFilterChange,
    NewCharge,
    NewChargeFilter,
    charge_to_api,
    filter_to_api,
    say_charge,
    say_filter,
)
from gateway.dialects.lago.charge_model import ChargeModel, model_of
from gateway.engine.paging import PageQuery
from gateway.listing import paged
from gateway.operation import AnyOperation, ByCode, Listed, Nothing, Request, operation
from gateway.problem import not_found
from gateway.projection import aware
from gateway.schema import keys


class ByCharge(ByCode):
    """A charge of a plan, by the codes of both."""

    charge_code: str


class ByFilter(ByCharge):
    """A filter of a charge, by its id."""

    id: str


class OfSubscription(ByCode):
    """A subscription, by the organization's id."""

    code: str = field(name="external_id")


class OfSubscriptionCharge(ByCharge):
    """A charge of a subscription, by its code."""

    code: str = field(name="external_id")


class OfSubscriptionFilter(ByFilter):
    """A filter of a subscription's charge, by its id."""

    code: str = field(name="external_id")


class SubscriptionQuery(Struct):
    """A subscription is found as `GET /subscriptions/{external_id}` finds it, whatever its status."""

    NOT_OFFERED: ClassVar = keys("subscription_status")


class SubscriptionPageQuery(PageQuery, kw_only=True):
    """Which page; see also `SubscriptionQuery`."""

    NOT_OFFERED: ClassVar = keys("subscription_status")


async def find_all(request: Request[ByCode, PageQuery, Nothing]) -> Listed[Charge]:
    """List the charges of a plan."""
    plan = await _plan(request.call, request.path)
    return paged(request.query, [charge_to_api(charge, aware(plan.created_at)) for charge in plan.charges])


async def find(request: Request[ByCharge, Nothing, Nothing]) -> Charge:
    """Find a charge of a plan by its code."""
    plan, charge = await _charge(request.call, request.path)
    return charge_to_api(charge, aware(plan.created_at))


async def create(request: Request[ByCode, Nothing, NewCharge]) -> Charge:
    """Add a charge to a plan, which gets its next version if somebody has it."""
    refusals, asked, body = Refusals(), _edit(request.call, request.path), request.body
    say_charge(asked.add_charge, body, body.charge_model, "", refusals)
    return await _edited_charge(request.call, asked, refusals)


async def change(request: Request[ByCharge, Nothing, ChargeChange]) -> Charge:
    """Change a charge of a plan, which gets its next version if somebody has it.

    What the body does not name stays as it is; null empties a field. `properties` without a `charge_model` are those of
    the charge's model.
    """
    refusals, asked, body = Refusals(), _edit(request.call, request.path), request.body
    model = await _model(request.call, request.path, body) if body.charge_model is UNSET else body.charge_model
    edit = asked.change_charge
    edit.code = request.path.charge_code
    edit.update_mask.paths.extend(say_charge(edit.charge, body, model, "", refusals))
    return await _edited_charge(request.call, asked, refusals)


async def remove(request: Request[ByCharge, Nothing, Nothing]) -> Charge:
    """Remove a charge from a plan, which gets its next version if somebody has it."""
    asked = _edit(request.call, request.path)
    asked.remove_charge = request.path.charge_code
    return await _edited_charge(request.call, asked, Refusals())


async def find_filters(request: Request[ByCharge, PageQuery, Nothing]) -> Listed[ChargeFilter]:
    """List the filters of a charge."""
    plan, charge = await _charge(request.call, request.path)
    return paged(request.query, [filter_to_api(price, aware(plan.created_at)) for price in charge.filters])


async def find_filter(request: Request[ByFilter, Nothing, Nothing]) -> ChargeFilter:
    """Find a filter of a charge by its id."""
    plan, charge = await _charge(request.call, request.path)
    price = next((price for price in charge.filters if price.id == request.path.id), None)
    if price is None:
        raise not_found("charge_filter", "the charge has no filter with this id")
    return filter_to_api(price, aware(plan.created_at))


async def create_filter(request: Request[ByCharge, Nothing, NewChargeFilter]) -> ChargeFilter:
    """Add a filter to a charge, with a price of the charge's model."""
    refusals, asked = Refusals(), _edit(request.call, request.path)
    asked.add_filter.charge_code = request.path.charge_code
    say_filter(
        asked.add_filter.filter, request.body, await _model(request.call, request.path, request.body), "", refusals
    )
    return await _edited_filter(request.call, asked, refusals)


async def change_filter(request: Request[ByFilter, Nothing, ChargeFilterChange]) -> ChargeFilter:
    """Change a filter of a charge.

    With other `values` it is another filter, and the answer has its new id.
    """
    refusals, asked, path = Refusals(), _edit(request.call, request.path), request.path
    edit = asked.change_filter
    edit.charge_code, edit.id = path.charge_code, path.id
    edit.update_mask.paths.extend(
        say_filter(edit.filter, request.body, await _model(request.call, request.path, request.body), "", refusals)
    )
    return await _edited_filter(request.call, asked, refusals)


async def remove_filter(request: Request[ByFilter, Nothing, Nothing]) -> ChargeFilter:
    """Remove a filter from a charge; its events get the charge's own price."""
    asked = _edit(request.call, request.path)
    asked.remove_filter.charge_code, asked.remove_filter.id = request.path.charge_code, request.path.id
    return await _edited_filter(request.call, asked, Refusals())


async def _plan(call: Call, path: ByCode) -> Plan:
    """The current version of a plan, or the one that a subscription has."""
    wanted = rpc.GetPlanRequest(code=path.code)
    if isinstance(path, OfSubscription | OfSubscriptionCharge | OfSubscriptionFilter):
        asked = GetSubscriptionRequest(external_id=path.code)
        held = (await call.ask(call.clients.subscriptions.GetSubscription, asked)).subscription
        wanted = rpc.GetPlanRequest(code=held.plan_code, version=held.plan_version)
    return (await call.ask(call.clients.catalog.GetPlan, wanted)).plan


async def _charge(call: Call, path: ByCharge) -> tuple[Plan, ChargeMessage]:
    plan = await _plan(call, path)
    charge = next((charge for charge in plan.charges if charge.code == path.charge_code), None)
    if charge is None:
        raise not_found("charge", "the plan has no charge with this code")
    return plan, charge


async def _model(call: Call, path: ByCharge, body: ChargeChange | ChargeFilterChange) -> ChargeModel:
    """The model of a charge, which is read only if the body has prices."""
    has_prices = body.properties is not UNSET or (isinstance(body, ChargeChange) and body.filters is not UNSET)
    return model_of((await _charge(call, path))[1].model) if has_prices else "standard"


def _edit(call: Call, path: ByCode) -> rpc.EditPlanRequest:
    return rpc.EditPlanRequest(request_id=call.mutation_id, code=path.code)


async def _edited(call: Call, asked: rpc.EditPlanRequest, refusals: Refusals) -> rpc.EditPlanResponse:
    refusals.raise_any()
    return await call.ask(call.clients.catalog.EditPlan, asked)


async def _edited_charge(call: Call, asked: rpc.EditPlanRequest, refusals: Refusals) -> Charge:
    answer = await _edited(call, asked, refusals)
    return charge_to_api(answer.charge, aware(answer.plan.created_at))


async def _edited_filter(call: Call, asked: rpc.EditPlanRequest, refusals: Refusals) -> ChargeFilter:
    answer = await _edited(call, asked, refusals)
    return filter_to_api(answer.filter, aware(answer.plan.created_at))


_NAMES = {f"charge.{field}": name for field, name in CHARGE_NAMES.items()} | {
    f"filter.{field}": name for field, name in FILTER_NAMES.items()
}
_CHARGES = "/plans/{code}/charges"
_CHARGE = f"{_CHARGES}/{{charge_code}}"
_FILTERS = f"{_CHARGE}/filters"
_FILTER = f"{_FILTERS}/{{id}}"
_READ: tuple[AnyOperation, ...] = (
    operation("GET", _CHARGES, find_all, answer_root="charges"),
    operation("GET", _CHARGE, find, answer_root="charge"),
    operation("GET", _FILTERS, find_filters, answer_root="filters"),
    operation("GET", _FILTER, find_filter, answer_root="filter"),
)
_OF_SUBSCRIPTION: dict[type[Struct], type[Struct]] = {
    ByCode: OfSubscription,
    ByCharge: OfSubscriptionCharge,
    ByFilter: OfSubscriptionFilter,
}


def _of_subscription(read: AnyOperation) -> AnyOperation:
    """The same operation for a subscription's plan version."""
    return replace(
        read,
        path=read.path.replace("/plans/{code}", "/subscriptions/{external_id}"),
        path_type=_OF_SUBSCRIPTION[read.path_type],
        query_type=SubscriptionPageQuery if read.is_list else SubscriptionQuery,
        summary=read.summary.replace("a plan", "a subscription's plan version"),
        tag="subscriptions",
    )


OPERATIONS = (
    *_READ,
    *map(_of_subscription, _READ),
    operation("POST", _CHARGES, create, root="charge", names=_NAMES),
    operation("PUT", _CHARGE, change, root="charge", names=_NAMES),
    operation("DELETE", _CHARGE, remove, answer_root="charge"),
    operation("POST", _FILTERS, create_filter, root="filter", names=_NAMES),
    operation("PUT", _FILTER, change_filter, root="filter", names=_NAMES),
    operation("DELETE", _FILTER, remove_filter, answer_root="filter"),
)
