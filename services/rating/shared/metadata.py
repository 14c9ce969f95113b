"""Changes of the free text by key that a thing has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetadataEdit:
    """A change of metadata.

    Attributes:
        entries: texts to add or replace.
        replaces: whether all other keys are removed.
        removed: keys to remove.
    """

    entries: Mapping[str, str]
    replaces: bool = False
    removed: Collection[str] = ()

    def apply(self, current: Mapping[str, str]) -> dict[str, str]:
        """The metadata after the change."""
        before = {} if self.replaces else current
        return {key: text for key, text in {**before, **self.entries}.items() if key not in self.removed}
