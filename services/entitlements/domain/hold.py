"""A hold: units set aside for work whose size is known only afterwards. It expires without a job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError


class HoldState(StrEnum):
    """The state of a hold; HELD ends automatically at `expires_at`."""

    HELD = "held"
    COMMITTED = "committed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Hold:
    """Units set aside.

    Attributes:
        id: Farebox id, the caller's `reservation_id`.
        subscription_id: Farebox id of the subscription.
        feature_code: the feature.
        units: how many units may be committed at most.
        state: held, committed or released.
        expires_at: when it ends automatically.
    """

    id: str
    subscription_id: str
    feature_code: str
    units: Decimal
    state: HoldState
    expires_at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """Farebox id of the subscription, and the feature."""
        return self.subscription_id, self.feature_code


def commit(hold: Hold, units: Decimal, *, at: datetime) -> Hold:
    """The hold after `units` of it have been used.

    Raises:
        FailedPreconditionError: it was settled before, or it has expired.
        InvalidArgumentError: more units than it holds.
    """
    if units > hold.units:
        raise InvalidArgumentError.of_field(
            "units", "value_is_out_of_range", f"the reservation holds {hold.units:f} units"
        )
    return _settle(hold, HoldState.COMMITTED, at)


def release(hold: Hold, *, at: datetime) -> Hold:
    """The hold after it was released.

    Raises:
        FailedPreconditionError: it was settled before, or it has expired.
    """
    return _settle(hold, HoldState.RELEASED, at)


def _settle(hold: Hold, state: HoldState, at: datetime) -> Hold:
    if hold.state is not HoldState.HELD:
        raise FailedPreconditionError(
            f"RESERVATION_{hold.state.upper()}", f"the reservation was {hold.state} before", reservation_id=hold.id
        )
    if at >= hold.expires_at:
        raise FailedPreconditionError(
            "RESERVATION_EXPIRED",
            f"the reservation ended at {hold.expires_at.isoformat()}",
            reservation_id=hold.id,
        )
    return replace(hold, state=state)
