"""The quick look at a property never lets through what the thorough one refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.convert.properties import read_properties
from services.ingest.domain.billability import Metric, Needs, missing_property
from services.ingest.pipeline.property import number_test, value_reader
from services.kernel.money import MAX_DIGITS, MAX_EXPONENT

# The last two are names that JSON writes with escapes.
NAMES = ["tokens", "", "value", "é", "a b", 'a"b', "a\nb"]
# Around every power of ten up to well beyond the digits that Farebox keeps, on both sides of zero.
edges = st.builds(
    lambda sign, digits, change: sign * 10**digits + change,
    st.sampled_from([-1, 1]),
    st.integers(0, MAX_DIGITS + 2),
    st.integers(-1, 1),
)
decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,45})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
values = st.one_of(
    edges.map(str),
    st.integers().map(str),
    decimals,
    decimals.map('"{}"'.format),
    st.sampled_from(["null", "true", '""', '"x"', "[1]", '{"tokens": 1}']),
)


def _properties(name: str, raws: list[str]) -> bytes:
    """Properties that have one name once, never or several times, among others."""
    written = ['"other": 1e999', *(f"{json.dumps(name)}: {raw}" for raw in raws)]
    return f"{{{', '.join(written)}}}".encode()


@given(st.sampled_from(NAMES), st.lists(values, max_size=3), st.sampled_from([Needs.NUMBER, Needs.VALUE]))
@example("tokens", ["-" + "9" * (MAX_EXPONENT + 1)], Needs.NUMBER)
@example("tokens", ["-" + "9" * (MAX_EXPONENT + 2)], Needs.NUMBER)
@example("tokens", ["9" * MAX_DIGITS], Needs.NUMBER)
@example("tokens", ["9" * (MAX_DIGITS + 1)], Needs.NUMBER)
@example("tokens", ["9" * 5000], Needs.NUMBER)
def test_what_is_let_through_is_never_missing(name: str, raws: list[str], needs: Needs) -> None:
    """What the quick look accepts, the thorough reader finds: the short cut never lets more in."""
    properties = _properties(name, raws)
    assert read_properties(properties) == properties
    if number_test(name)(properties):
        assert missing_property(Metric("code", needs, name), value_reader(name)(properties)) is None


@pytest.mark.parametrize("raw", [b"0", b"12", b"-7", b"1790000000000", b"9" * 15])
def test_whole_numbers_are_let_through(raw: bytes) -> None:
    """Else the quick look would be of no use."""
    assert number_test("tokens")(b'{"model": "x", "tokens": ' + raw + b"}")
