"""A short run of `make fuzz`; the long one has a million inputs."""

from __future__ import annotations

import pytest

from benchmarks import fuzz_ingest

INPUTS = 10_000


@pytest.mark.parametrize("seed", [1, 2])
def test_no_input_breaks_a_promise(seed: int) -> None:
    ended = fuzz_ingest.run(INPUTS, seed)
    assert sum(ended.values()) == INPUTS
    assert ended["taken"] > INPUTS // 20
    assert ended["refused by field"] > INPUTS // 20
