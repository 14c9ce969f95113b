"""Features. Lago's privileges have no counterpart: a feature has one value of its own type."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Struct, UnsetType

from farebox.entitlements.v1 import feature_service_pb2 as rpc
from farebox.entitlements.v1.feature_pb2 import Feature as FeatureMessage
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.engine.paging import PageQuery
from gateway.problem import invalid
from gateway.projection import patch
from gateway.resource import Listing, resource
from gateway.schema import Code, Instant, Words, keys, of

TYPE = Words(FeatureMessage.Type, "TYPE_", synonyms={"boolean": "gate", "metered": "usage_limit"})
Type = Annotated[str, TYPE.meta]


class FeatureChange(Struct, kw_only=True):
    """The content of a feature; `metric_code` is another name of `billable_metric_code`."""

    NOT_OFFERED: ClassVar = keys("privileges")

    code: Code | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    type: Type | UnsetType = UNSET
    billable_metric_code: Annotated[Code, of("metric_code")] | UnsetType | None = UNSET
    metric_code: Code | UnsetType | None = UNSET


class NewFeature(FeatureChange, kw_only=True):
    """A new feature. Without a `type` it is a usage limit if it names a metric, otherwise a gate."""

    code: Code


class Feature(Identified, kw_only=True):
    """Something a plan unlocks."""

    code: str
    name: str | None
    description: str | None
    type: Annotated[str, TYPE.told] | None
    billable_metric_code: Annotated[str | None, of("metric_code")]
    privileges: tuple[str, ...] = ()
    created_at: Instant | None


class FeatureQuery(PageQuery, kw_only=True):
    """Which page of the features."""

    NOT_OFFERED: ClassVar = keys("search_term")


def _from_api(feature: FeatureMessage, body: FeatureChange) -> list[str]:
    named = (body.billable_metric_code, body.metric_code)
    if UNSET not in named and named[0] != named[1]:
        raise invalid("metric_code", "value_is_invalid", "is another metric than billable_metric_code")
    return list(dict.fromkeys(patch(feature, body)[1]))


def _complete(feature: FeatureMessage) -> None:
    feature.name = feature.name or feature.code
    assumed = FeatureMessage.TYPE_USAGE_LIMIT if feature.metric_code else FeatureMessage.TYPE_GATE
    feature.type = feature.type or assumed


OPERATIONS = resource(
    "/features",
    root="feature",
    plural="features",
    creates=NewFeature,
    changes=FeatureChange,
    answers=Feature,
    from_api=_from_api,
    complete=_complete,
    create=rpc.CreateFeatureRequest,
    get=rpc.GetFeatureRequest,
    list=Listing(rpc.ListFeaturesRequest, FeatureQuery),
    update=rpc.UpdateFeatureRequest,
    delete=rpc.DeleteFeatureRequest,
)
