"""Handlers that are not operations yet, served beside those that are.

DELETED with the last route that is ported, with `gateway.call.Call.json`, `Call.wrapped`, `dialects/nozle/read.py`
and `write.py`: until then a table of `Route`s of the old kind becomes endpoints here. They are not in openapi.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.auth.scopes import Scope
from gateway.call import Call, Reply
from gateway.operation import ENCODER

# A message's field that a caller knows by another name.
_CALLERS_NAMES = {
    "occurred_at": "timestamp",
    "aggregation": "aggregation_type",
    "rounding": "rounding_function",
    "page.page_size": "per_page",
    "page.skip": "page",
    "currency": "amount_currency",
    "started_at": "subscription_at",
    "metric_code": "billable_metric_id",
}
# Requests wrap the thing they are about; callers see its fields alone.
_WRAPPERS = re.compile(
    r"^(?:events?\[\d+\]|event|billable_metric|plan|customer|coupon|tax|feature|cost_model|organization)\."
)

Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """A handler that is not ported.

    Attributes:
        method, path: as of an operation.
        handler: answers a JSON-able value, or a `Reply`.
        publishable: whether a `pk_` key may ask it.
    """

    method: str
    path: str
    handler: Handler
    publishable: bool = False

    @property
    def scope(self) -> Scope:
        """Who may ask."""
        return Scope.PUBLISHABLE if self.publishable else Scope.SECRET

    async def answer(self, call: Call) -> Reply:
        """The handler's answer."""
        answer = await self.handler(call)
        return answer if isinstance(answer, Reply) else Reply(ENCODER.encode(answer))

    def callers_field(self, field: str) -> str:
        """The name that the caller wrote for a field of a message."""
        return callers_field(field)


def callers_field(field: str) -> str:
    """The name that the caller wrote for a field of a message."""
    bare = _WRAPPERS.sub("", field)
    return _CALLERS_NAMES.get(bare, bare)
