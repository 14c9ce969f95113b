"""Partial changes: a mask names the fields of a message that change; all others keep their values, under the lock.

A command reads the stored thing with a lock, writes it as a message, copies the named fields of the request into it and
reads the result again. So a partial change is checked like a whole one, and two changes made at the same time both take
effect.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.kernel.errors import FieldViolation, InvalidArgumentError

M = TypeVar("M", bound=Message)

# No message has this many fields.
MAX_PATHS = 100
# How many characters of a key an error message repeats.
_SHOWN = 80


class ChangeRequest(Protocol):
    """A request that changes a thing: wholly, or partly with a mask.

    One of its fields, the body, has the new content.
    """

    @property
    def update_mask(self) -> FieldMask:
        """Names of the body's fields that change."""

    def HasField(self, name: Any) -> bool:  # noqa: N802 - protobuf's name
        """Whether the field is there."""


def named_code(request: Any, name: str) -> str:
    """The code of the thing that a request changes: `request.code`, or the code in its body if that is empty."""
    code: str = request.code or getattr(request, name).code
    return code


def patched(current: M, request: ChangeRequest, name: str, *, key: str = "code", given: Collection[str] = ()) -> M:
    """The current content with the changes of a request applied.

    Lists, maps and messages are replaced as a whole; a field that the mask names and the body does not set becomes
    empty. Without a mask the whole content is replaced.

    Args:
        current: the stored content, as a message.
        request: the change.
        name: the name of the request's field that holds the body.
        key: the name of the body's field that identifies it; it never changes, and a request may repeat it unchanged.
        given: names of the body's fields that Farebox sets and no caller can change.

    Raises:
        InvalidArgumentError: names every path that is unknown or cannot be changed.
    """
    body: M = getattr(request, name)
    if not request.HasField("update_mask"):
        # The body may leave its key out if the request names the key beside the body.
        _refuse(_changed_key(current, body, f"{name}.{key}", key) if getattr(body, key) else [])
        whole = type(body)()
        whole.CopyFrom(body)
        setattr(whole, key, getattr(current, key))
        return whole
    _refuse(_violations(current, body, request.update_mask, name, key, given))
    merged = type(current)()
    merged.CopyFrom(current)
    request.update_mask.MergeMessage(body, merged, replace_message_field=True, replace_repeated_field=True)
    return merged


def _violations(
    current: Message, body: Message, mask: FieldMask, name: str, key: str, given: Collection[str]
) -> list[FieldViolation]:
    if len(mask.paths) > MAX_PATHS:
        return [FieldViolation("update_mask", "value_is_invalid", f"has at most {MAX_PATHS} paths")]
    fields = current.DESCRIPTOR.fields_by_name
    found: list[FieldViolation] = []
    for path in mask.paths:
        field = f"{name}.{path}"
        if path not in fields:
            found.append(FieldViolation(field, "value_is_invalid", "is not a field that can be changed"))
        elif path in given:
            found.append(FieldViolation(field, "value_is_invalid", "is given by Farebox and never changed"))
        elif path == key:
            found += _changed_key(current, body, field, key)
    return found


def _changed_key(current: Message, body: Message, field: str, key: str) -> list[FieldViolation]:
    """The refusal of a body with another key; a key may be long, so the message shows only its beginning."""
    kept = getattr(current, key)
    if getattr(body, key) == kept:
        return []
    return [FieldViolation(field, "value_is_invalid", f"stays {kept[:_SHOWN]!r}: it never changes")]


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise InvalidArgumentError.of_fields(violations)
