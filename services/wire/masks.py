"""Partial changes: which fields of a message change is said by a mask, and all others stay as they are under the lock.

A command reads what is there for update, writes it as a message, has the named fields of the request put into it, and
reads the whole again: so a partial change is checked as a whole one is, and two at once both take effect.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from services.kernel.errors import FieldViolation, InvalidArgumentError

M = TypeVar("M", bound=Message)

# No message has as many fields.
MAX_PATHS = 100


def named_code(code: str, body_code: str) -> str:
    """Which one a request changes: the code beside the body, which decides, or the body's own where that is empty."""
    return code or body_code


def patched(current: M, body: M, mask: FieldMask | None, *, path: str, key: str, given: Collection[str] = ()) -> M:
    """What is there, with what a request changes of it.

    Lists, maps and messages are replaced whole; a named field that the body does not set is emptied.

    Args:
        current: what is there, as a message.
        body: what the request says.
        mask: names of the fields that change; None replaces the whole content.
        path: of the body within the request, for refusals.
        key: name of the field that identifies it; it never changes, and may be repeated as it is.
        given: names of fields that Farebox gives, which no caller changes.

    Raises:
        InvalidArgumentError: names every path that is unknown or never changes.
    """
    if mask is None:
        # The body's key may be left out where the request names it beside the body.
        _refuse(_changed_key(current, body, path, key) if getattr(body, key) else [])
        whole = type(body)()
        whole.CopyFrom(body)
        setattr(whole, key, getattr(current, key))
        return whole
    _refuse(_violations(current, body, mask, path, key, given))
    merged = type(current)()
    merged.CopyFrom(current)
    mask.MergeMessage(body, merged, replace_message_field=True, replace_repeated_field=True)
    return merged


def _violations(
    current: Message, body: Message, mask: FieldMask, path: str, key: str, given: Collection[str]
) -> list[FieldViolation]:
    if len(mask.paths) > MAX_PATHS:
        return [FieldViolation("update_mask", "value_is_invalid", f"has at most {MAX_PATHS} paths")]
    fields = current.DESCRIPTOR.fields_by_name
    found: list[FieldViolation] = []
    for name in mask.paths:
        if name not in fields:
            found.append(FieldViolation(f"{path}.{name}", "value_is_invalid", "is not a field that can be changed"))
        elif name in given:
            found.append(FieldViolation(f"{path}.{name}", "value_is_invalid", "is given by Farebox and never changed"))
        elif name == key:
            found += _changed_key(current, body, path, key)
    return found


def _changed_key(current: Message, body: Message, path: str, key: str) -> list[FieldViolation]:
    if getattr(body, key) == getattr(current, key):
        return []
    return [FieldViolation(f"{path}.{key}", "value_is_invalid", f"stays {getattr(current, key)!r}: it never changes")]


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise InvalidArgumentError.of_fields(violations)
