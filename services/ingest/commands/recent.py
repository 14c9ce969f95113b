"""The keys that were committed last: a hint that a batch repeats them, so that no copy is tried in vain."""

from __future__ import annotations

from collections.abc import Collection

# A retry comes within seconds; two generations of this many keys are some seconds of the highest rate, and 30 MB.
GENERATION = 100_000


class RecentKeys:
    """Remembers between one and two generations of keys. A wrong answer costs time, never correctness."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def knows(self, keys: Collection[bytes]) -> bool:
        """Whether one of these keys was committed lately."""
        return not (self._young.isdisjoint(keys) and self._old.isdisjoint(keys))

    def add(self, keys: Collection[bytes]) -> None:
        """Remember committed keys."""
        self._young.update(keys)
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, set()
