"""The subject of each domain event: an option of its message, `(farebox.common.v1.subject)`, defined nowhere else."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from farebox.common.v1 import subject_pb2


def subject_of(message_type: type[Message]) -> str:
    """The subject on which a message is announced.

    Raises:
        TypeError: the message has no subject, so it is not a domain event.
    """
    # An extension has no type of its own in generated code.
    options: Any = message_type.DESCRIPTOR.GetOptions()
    subject: str = options.Extensions[subject_pb2.subject]
    if not subject:
        raise TypeError(f"{message_type.DESCRIPTOR.full_name} has no subject")
    return subject


def announcement(message: Message) -> tuple[str, bytes]:
    """A domain event in the form the outbox takes: subject and bytes."""
    return subject_of(type(message)), message.SerializeToString()
