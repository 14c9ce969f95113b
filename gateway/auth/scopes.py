"""What a caller may ask."""

from __future__ import annotations

from enum import StrEnum

from gateway.auth.keys import Caller
from gateway.problem import Problem


class Scope(StrEnum):
    """Who may call an operation.

    SECRET: the organization's servers, with a `sk_` key. PUBLISHABLE: its front ends too, with a `pk_` key.
    NONE: anybody, without a key.
    """

    SECRET = "secret"  # noqa: S105 - the scope, no secret
    PUBLISHABLE = "publishable"
    NONE = "none"


def require(caller: Caller, scope: Scope) -> None:
    """Refuse a publishable key for what only a secret key may ask.

    Raises:
        Problem: 403.
    """
    if caller.publishable and scope is Scope.SECRET:
        raise Problem(403, "secret_key_required", "a publishable key may only read plans; use a secret key")
