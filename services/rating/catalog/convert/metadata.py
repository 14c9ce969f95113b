"""Changes of metadata: messages to domain."""

from __future__ import annotations

from farebox.rating.v1 import metadata_pb2 as pb
from services.kernel.errors import InvalidArgumentError
from services.rating.shared.limits import MAX_METADATA
from services.rating.shared.metadata import MetadataEdit


def metadata_edit_from_pb(edit: pb.MetadataEdit) -> MetadataEdit:
    """A change of metadata, or a refusal of one that names too many keys."""
    for name, keys in (("entries", edit.entries), ("remove", edit.remove)):
        if len(keys) > MAX_METADATA:
            raise InvalidArgumentError.of_field(f"metadata.{name}", "value_is_invalid", f"are at most {MAX_METADATA}")
    return MetadataEdit(dict(edit.entries), edit.replace, tuple(edit.remove))
