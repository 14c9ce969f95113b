"""CloudEvents on the path of usage events, recognized by the content type or by `ce-` headers."""

from __future__ import annotations

from gateway.dialect import Dialect, Head
from gateway.dialects.cloudevents.event import OPERATIONS, STRUCTURED, VERSION_HEADER
from gateway.dialects.lago import problem
from gateway.dialects.nozle.dialect import BASES

_PATH = "/events"


def claims(head: Head) -> bool:
    """Whether a request sends CloudEvents, in any of the three modes of HTTP."""
    if head.method != "POST" or not head.path.endswith(_PATH):
        return False
    return head.headers.get("content-type", "").lower().startswith(STRUCTURED) or VERSION_HEADER in head.headers


CLOUDEVENTS = Dialect(
    name="cloudevents",
    bases=BASES,
    operations=OPERATIONS,
    render_problem=problem.render,
    claims=claims,
)
