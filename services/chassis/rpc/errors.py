"""The kernel's errors as gRPC statuses with google.rpc details, and back: the only two translations there are.

The details always have google.rpc.ErrorInfo, BadRequest if fields are wrong, and RetryInfo if waiting helps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.chassis.db import is_unavailable
from services.kernel import errors

DOMAIN = "farebox"
DETAILS_KEY = "grpc-status-details-bin"


class _InternalError(errors.FareboxError):
    """An unforeseen error: the caller learns only that it happened."""


_STATUS: dict[type[errors.FareboxError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AbortedError: grpc.StatusCode.ABORTED,
    errors.ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    _InternalError: grpc.StatusCode.INTERNAL,
}


def known(error: Exception) -> errors.FareboxError:
    """The error of our vocabulary that a caller gets for any error; an unforeseen one reveals nothing."""
    if isinstance(error, errors.FareboxError):
        return error
    if is_unavailable(error):
        return errors.UnavailableError("DATABASE_UNAVAILABLE", "the service cannot reach its database")
    return _InternalError("INTERNAL", "an unexpected error; it was logged")


def code_of(error: errors.FareboxError) -> grpc.StatusCode:
    """The gRPC status code of an error of our vocabulary."""
    return _STATUS[type(error)]


def status_of(error: errors.FareboxError) -> status_pb2.Status:
    """The status of an error with all its details, as it travels in the trailing metadata `DETAILS_KEY`."""
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, errors.InvalidArgumentError) and error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=v.field, description=v.description, reason=v.reason
                    )
                    for v in error.violations
                ]
            )
        )
    if isinstance(error, errors.ResourceExhaustedError):
        wait = duration_pb2.Duration(seconds=error.retry_after_seconds)
        details.append(error_details_pb2.RetryInfo(retry_delay=wait))
    status = status_pb2.Status(code=getattr(code_pb2, code_of(error).name), message=error.message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def error_info(error: grpc.RpcError) -> tuple[str, Mapping[str, str]]:
    """Reason and metadata of an error that came over the wire; an empty reason if it has none."""
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info.reason, dict(info.metadata)
    return "", {}


def field_violations(error: grpc.RpcError) -> list[errors.FieldViolation]:
    """The wrong fields that an error from the wire names."""
    for detail in _details(error):
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            return [errors.FieldViolation(v.field, v.reason, v.description) for v in bad.field_violations]
    return []


def retry_after_seconds(error: grpc.RpcError) -> int | None:
    """How long an error from the wire asks the caller to wait; None if it does not say."""
    for detail in _details(error):
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            return max(1, int(info.retry_delay.seconds))
    return None


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    metadata: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in metadata or ():
        if key == DETAILS_KEY:
            return list(status_pb2.Status.FromString(value).details)
    return []
