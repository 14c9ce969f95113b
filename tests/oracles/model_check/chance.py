"""Chance by a seed: the same seed always tells the same story."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Chance:
    """What is drawn for one story."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def happens(self, share: float) -> bool:
        """True in so large a share of all cases."""
        return self._random.random() < share

    def one(self, values: Sequence[T]) -> T:
        """One of them; what is named twice is drawn twice as often."""
        return self._random.choice(values)

    def some(self, values: Sequence[T], most: int) -> list[T]:
        """Up to so many of them, each once."""
        return self._random.sample(values, self._random.randint(0, min(most, len(values))))

    def number(self, least: int, most: int) -> int:
        """A whole number, both ends included."""
        return self._random.randint(least, most)

    def ratio(self, least: float, most: float) -> float:
        """A share or a multiple of a length of time; never of money."""
        return self._random.uniform(least, most)

    def decimal(self, least: int, most: int, places: int) -> str:
        """A number as text, with so many decimals at most."""
        scaled = self._random.randint(least * 10**places, most * 10**places)
        text = f"{'-' if scaled < 0 else ''}{abs(scaled) // 10**places}.{abs(scaled) % 10**places:0{places}}"
        return text.rstrip("0").rstrip(".") if places else text.rstrip(".").partition(".")[0]

    def price(self) -> str:
        """A price in major units: round ones, odd ones, tiny ones, and nothing."""
        kind = self._random.random()
        if kind < 0.35:
            return self.one(["0", "0.01", "0.1", "0.5", "1", "1", "2", "10", "0.05", "0.005", "0.333333"])
        if kind < 0.7:
            return self.decimal(0, 20, 2)
        return self.decimal(0, 3, 4) if kind < 0.9 else self.decimal(0, 1, 9)

    def shuffled(self, values: Sequence[Any]) -> list[Any]:
        """All of them in another order."""
        return self._random.sample(list(values), len(values))
