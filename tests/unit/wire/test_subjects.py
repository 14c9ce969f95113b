"""Every domain event names its subject in its proto, and only there."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

from farebox.common.v1 import subject_pb2
from farebox.common.v1.decimal_pb2 import Decimal
from farebox.ingest.v1.domain_events_pb2 import TestClockReached as IngestTestClockReached
from services.chassis.numbering import subject_pattern
from services.wire import streams
from services.wire.subjects import announcement, subject_of
from tests.support.source import tree_of

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("ingest", "rating", "entitlements", "margin")
OF_SERVICE = {"rating": streams.RATING, "entitlements": streams.ENTITLEMENTS, "margin": streams.MARGIN}


def files_of(service: str) -> list[FileDescriptor]:
    """Every proto file of a service."""
    folder = ROOT / "protos" / "farebox" / service / "v1"
    modules = [
        importlib.import_module(f"farebox.{service}.v1.{path.stem}_pb2") for path in sorted(folder.glob("*.proto"))
    ]
    return [module.DESCRIPTOR for module in modules]


def nested(message: Descriptor) -> Iterator[Descriptor]:
    """A message and all that are defined in it."""
    yield message
    for inner in message.nested_types:
        yield from nested(inner)


def published_of(service: str) -> dict[str, str]:
    """The subjects of a service's domain events by name: what its file defines and no other message is made of."""
    files = [file for service in SERVICES for file in files_of(service)]
    messages = [part for file in files for top in file.message_types_by_name.values() for part in nested(top)]
    used = {
        field.message_type.full_name
        for message in messages
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_MESSAGE and message.name != "ReplayUsageEventsResponse"
    }
    (file,) = (file for file in files_of(service) if file.name.endswith("/domain_events.proto"))
    return {
        message.name: message.GetOptions().Extensions[subject_pb2.subject]
        for message in file.message_types_by_name.values()
        if message.full_name not in used
    }


@pytest.mark.parametrize("service", SERVICES)
def test_each_published_message_has_a_subject_of_its_own(service: str) -> None:
    """`<service>.<noun>.<past participle>`, and no two messages share one."""
    subjects = published_of(service)
    assert len(subjects) >= 2
    assert all(re.fullmatch(rf"{service}\.[a-z_]+\.[a-z_]+", subject) for subject in subjects.values()), subjects
    assert len(set(subjects.values())) == len(subjects)


@pytest.mark.parametrize("service", OF_SERVICE)
def test_a_services_stream_takes_what_it_announces(service: str) -> None:
    """A subject that no stream takes would be set aside."""
    pattern = subject_pattern(OF_SERVICE[service].subjects)
    assert [subject for subject in published_of(service).values() if not re.search(pattern, subject)] == []


def test_ingests_two_streams_take_what_it_announces() -> None:
    """The shards have a stream of their own; each subject is taken by one of the two and by one only."""
    patterns = [subject_pattern(stream.subjects) for stream in (streams.INGEST, streams.USAGE)]
    for subject in (subject_of(IngestTestClockReached), streams.shard_subject(3)):
        assert [bool(re.search(pattern, subject)) for pattern in patterns].count(True) == 1


def test_no_subject_is_written_outside_the_protos() -> None:
    """Whoever renames a subject does it in one place, so product code reads it from there."""
    literal = re.compile(rf"({'|'.join(SERVICES)})(\.[a-z_]+){{2,}}(\.\*|\.>)?")
    found = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for room in ("services", "gateway", "examples")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and literal.fullmatch(node.value)
    ]
    assert found == []


def test_an_announcement_is_subject_and_bytes() -> None:
    """As the outbox takes it; a message that is no domain event cannot be announced."""
    message = IngestTestClockReached(organization_id="o", revision=3)
    subject, body = announcement(message)
    assert (subject, IngestTestClockReached.FromString(body)) == ("ingest.test_clock.reached", message)
    with pytest.raises(TypeError, match="has no subject"):
        announcement(Decimal(value="1"))
