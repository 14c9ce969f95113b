"""Reading bodies: null is absent, numbers stay exact, refusals name the field."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.dialects.nozle.read import Reader, read_instant
from gateway.problem import Problem


def refused(read: Any) -> Any:
    with pytest.raises(Problem) as problem:
        read()
    assert problem.value.status == 422
    return problem.value.fields


def test_null_means_absent() -> None:
    body = Reader({"name": None, "amount_cents": None, "charges": None, "properties": None, "on": None})
    assert body.text("name", "kept") == "kept"
    assert body.integer("amount_cents", 7) == 7
    assert body.objects("charges") == []
    assert body.object("properties").text("amount") == ""
    assert body.flag("on", default=True) is True
    assert not body.has("name", "missing")


@pytest.mark.parametrize("given", ["0.1", Decimal("0.1"), "0.10"])
def test_an_exact_number_is_the_same_as_text_and_as_number(given: Any) -> None:
    found = Reader({"amount": given}).decimal("amount")
    assert found is not None
    assert found.value == "0.1"


@pytest.mark.parametrize("given", ["abc", "", "1,5", True, [], {}, "NaN", "1e99"])
def test_what_is_no_number_is_refused_by_name(given: Any) -> None:
    assert refused(lambda: Reader({"rate": given}).decimal("rate")) == {"rate": ["invalid_format"]}


@pytest.mark.parametrize(("given", "number"), [(3, 3), ("3", 3), (Decimal("3.0"), 3), ("-2", -2)])
def test_a_whole_number_may_be_written_in_several_ways(given: Any, number: int) -> None:
    assert Reader({"n": given}).integer("n") == number


@pytest.mark.parametrize("given", [Decimal("3.5"), "x", True, str(2**70)])
def test_what_is_no_whole_number_of_64_bits_is_refused(given: Any) -> None:
    assert refused(lambda: Reader({"n": given}).integer("n")) == {"n": ["invalid_format"]}


def test_a_refusal_names_the_place_within_lists() -> None:
    charge = Reader({"charges": [{}, {"properties": {"amount": "x"}}]}).objects("charges")[1]
    assert refused(lambda: charge.object("properties").decimal("amount")) == {
        "charges[1].properties.amount": ["invalid_format"]
    }


def test_a_mandatory_text_must_not_be_empty() -> None:
    assert refused(lambda: Reader({"code": ""}).required("code")) == {"code": ["value_is_mandatory"]}


def test_a_choice_is_one_of_its_words() -> None:
    assert Reader({"interval": "Monthly"}).choice("interval", {"monthly": 1}, 0) == 1
    assert refused(lambda: Reader({"interval": "daily"}).choice("interval", {"monthly": 1}, 0)) == {
        "interval": ["value_is_invalid"]
    }


INSTANT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-01-15T10:30:00Z", INSTANT),
        ("2024-01-15T11:30:00+01:00", INSTANT),
        ("2024-01-15T10:30:00.123456789Z", INSTANT.replace(microsecond=123456)),
        (1705314600, INSTANT),
        ("1705314600", INSTANT),
        ("1705314600.123", INSTANT.replace(microsecond=123000)),
        (Decimal("1705314600.5"), INSTANT.replace(microsecond=500000)),
        ("2024-01-15", datetime(2024, 1, 15, tzinfo=UTC)),
    ],
)
def test_instants_are_read_to_the_microsecond(given: Any, expected: datetime) -> None:
    assert read_instant(given) == expected


@pytest.mark.parametrize(
    "given",
    ["2024-01-15T10:30:00", "yesterday", "2024-02-30", "2024-13-01T00:00:00Z", True, None, {}, "1e29", "9" * 20],
)
def test_what_names_no_instant_is_none(given: Any) -> None:
    """A time without its zone would be a guess."""
    assert read_instant(given) is None
