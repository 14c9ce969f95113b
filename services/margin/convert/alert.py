"""Alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from farebox.margin.v1 import alert_pb2
from services.kernel.errors import InvalidArgumentError
from services.margin.domain.alert import Alert, AlertMetric
from services.wire.values import decimal_of, decimal_or_none_of, decimal_to_pb, instant_to_pb

_METRICS = {getattr(alert_pb2.Alert, f"METRIC_{metric.name}"): metric for metric in AlertMetric}
_NUMBERS = {metric: number for number, metric in _METRICS.items()}
_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


def alert_from_pb(message: alert_pb2.Alert) -> Alert:
    """The alert of a request; its id and created_at are ignored."""
    if message.metric not in _METRICS:
        raise InvalidArgumentError.of_field("alert.metric", "value_is_mandatory", "names a figure")
    return Alert(
        "",
        message.code,
        message.name,
        _METRICS[message.metric],
        message.external_customer_id,
        decimal_of(message, "warning_threshold", "alert"),
        decimal_or_none_of(message, "critical_threshold", "alert"),
        decimal_or_none_of(message, "recovery_threshold", "alert"),
        _duration(message.raise_after, field="alert.raise_after"),
        _duration(message.clear_after, field="alert.clear_after"),
        _UNKNOWN_TIME,
    )


def _duration(message: Duration, *, field: str) -> timedelta:
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not a duration") from error


def alert_to_pb(alert: Alert) -> alert_pb2.Alert:
    """An alert as it is."""
    message = alert_pb2.Alert(
        id=alert.id,
        code=alert.code,
        name=alert.name,
        metric=_NUMBERS[alert.metric],
        external_customer_id=alert.external_customer_id,
        warning_threshold=decimal_to_pb(alert.warning_threshold),
        critical_threshold=decimal_to_pb(alert.critical_threshold),
        recovery_threshold=decimal_to_pb(alert.recovery_threshold),
        created_at=instant_to_pb(alert.created_at),
    )
    message.raise_after.FromTimedelta(alert.raise_after)
    message.clear_after.FromTimedelta(alert.clear_after)
    return message
