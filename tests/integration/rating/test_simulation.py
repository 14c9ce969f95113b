"""Two years of some subscriptions, by fixed seeds: no gap, no overlap, no second billed twice (see `make simulate`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.simulate.play import Scale
from benchmarks.simulate.run import simulate
from services.chassis.config import Settings


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_law_holds(seed: int, settings_for: Callable[[str], Settings]) -> None:
    url = settings_for("rating").database_url.get_secret_value()
    outcome = simulate(Scale(seed, subscriptions=25, years=2), url, lambda _: None)
    assert outcome.wrong == []
    # The story is long enough to mean something.
    assert outcome.lives >= 25
    assert outcome.periods > 100
    assert outcome.events > 100
