"""Partial changes: which fields of a message change is said by a mask, and all others stay as they are under the lock.

A command reads what is there for update, writes it as a message, has the named fields of the request put into it, and
reads the whole again: so a partial change is checked as a whole one is, and two at once both take effect.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.kernel.errors import FieldViolation, InvalidArgumentError

M = TypeVar("M", bound=Message)

# No message has as many fields.
MAX_PATHS = 100
# Characters of a key that a refusal repeats.
_SHOWN = 80


class ChangeRequest(Protocol):
    """A request that changes a part of something, or all of it: with a mask, and a body whose field has a name."""

    @property
    def update_mask(self) -> FieldMask:
        """Names of the body's fields that change."""

    def HasField(self, name: Any) -> bool:  # noqa: N802 - protobuf's name
        """Whether the field is there."""


def named_code(request: Any, name: str) -> str:
    """Which one a request changes: its `code` decides, or the code of its body where that is empty."""
    code: str = request.code or getattr(request, name).code
    return code


def patched(current: M, request: ChangeRequest, name: str, *, key: str = "code", given: Collection[str] = ()) -> M:
    """What is there, with what a request changes of it.

    Lists, maps and messages are replaced whole; a named field that the body does not set is emptied. Without a mask
    the whole content is replaced.

    Args:
        current: what is there, as a message.
        request: what is asked for.
        name: of the request's field that holds the body.
        key: name of the body's field that identifies it; it never changes, and may be repeated as it is.
        given: names of the body's fields that Farebox gives, which no caller changes.

    Raises:
        InvalidArgumentError: names every path that is unknown or never changes.
    """
    body: M = getattr(request, name)
    if not request.HasField("update_mask"):
        # The body's key may be left out where the request names it beside the body.
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
    """The refusal of a body that would give another key; a key may be long, so it is cut for people."""
    kept = getattr(current, key)
    if getattr(body, key) == kept:
        return []
    return [FieldViolation(field, "value_is_invalid", f"stays {kept[:_SHOWN]!r}: it never changes")]


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise InvalidArgumentError.of_fields(violations)
