"""Requests are read exactly; wrong fields are refused by name, all at once; and no spelling of a request costs much."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import pytest
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from gateway.decode import structs
from gateway.decode.body import parse, unwrap
from gateway.decode.query import query_values
from gateway.decode.refusals import MAX_REFUSALS, Refusals
from gateway.problem import Problem
from gateway.schema import Cents, Code, DecimalInput, InstantInput, Words

ROUNDING = Words(BillableMetric.Rounding, "ROUNDING_")


class Properties(Struct, kw_only=True):
    amount: DecimalInput


class Charge(Struct, kw_only=True):
    properties: Properties
    filters: dict[str, list[str]] | UnsetType = UNSET


class Body(Struct, kw_only=True):
    NOT_OFFERED: ClassVar = frozenset({"usage_thresholds"})
    FIXED: ClassVar = {"sync": False}

    code: Code
    amount_cents: Cents | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    rounding: Annotated[str, ROUNDING.meta] | UnsetType = UNSET
    interval: Literal["weekly", "monthly"] | UnsetType = UNSET
    started_at: InstantInput | UnsetType = UNSET
    pay_in_advance: bool | UnsetType = UNSET
    charges: list[Charge] | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    tags: Annotated[list[str], Meta(max_length=2)] | UnsetType = UNSET


def read(text: str, struct: type[Struct] = Body) -> Any:
    refusals = Refusals()
    found = structs.read(struct, unwrap(parse(text.encode()), "", refusals), refusals)
    refusals.raise_any()
    return found


def refused(text: str) -> dict[str, list[str]]:
    with pytest.raises(Problem) as problem:
        read(text)
    assert problem.value.status == 422
    return dict(problem.value.fields or {})


def test_every_wrong_field_is_named_at_once_by_the_callers_path() -> None:
    """One round trip tells a caller everything, in the caller's own words."""
    body = """{"amount_cents": "29.00", "charges": [{"properties": {"amount": "a lot"}}, {"proprties": {}}],
               "interval": "daily", "rounding": "up", "started_at": "tomorrow", "pay_in_advance": "yes", "colour": 1}"""
    assert refused(body) == {
        "colour": ["unknown_field"],
        "code": ["value_is_mandatory"],
        "amount_cents": ["invalid_format"],
        "rounding": ["value_is_invalid"],
        "interval": ["value_is_invalid"],
        "started_at": ["invalid_format"],
        "pay_in_advance": ["invalid_format"],
        "charges[0].properties.amount": ["invalid_format"],
        "charges[1].proprties": ["unknown_field"],
        "charges[1].properties": ["value_is_mandatory"],
    }


def test_what_others_offer_and_we_do_not_is_refused_unless_it_says_nothing() -> None:
    """A field that is known elsewhere is never dropped; an empty one asks for nothing."""
    assert refused('{"code": "a", "usage_thresholds": [{"amount_cents": 1}]}') == {
        "usage_thresholds": ["not_available"]
    }
    for nothing in ("null", '""', "[]", "{}"):
        assert read(f'{{"code": "a", "usage_thresholds": {nothing}}}').code == "a"
    assert refused('{"code": "a", "usage_thresholds": false}') == {"usage_thresholds": ["not_available"]}


@pytest.mark.parametrize("value", ["null", "false"])
def test_a_key_whose_only_value_is_how_things_are_may_say_so(value: str) -> None:
    """A caller may say that nothing is to be synchronised; a caller that requests it is told that it is not offered."""
    assert read(f'{{"code": "a", "sync": {value}}}').code == "a"


@pytest.mark.parametrize("value", ["true", "0", '""', "[]", '"false"'])
def test_a_key_whose_only_value_is_how_things_are_takes_no_other(value: str) -> None:
    assert refused(f'{{"code": "a", "sync": {value}}}') == {"sync": ["not_available"]}


def test_null_and_absent_are_two_things() -> None:
    """Null empties a field, absence leaves it; null is refused for a field that cannot be empty."""
    assert read('{"code": "a"}').description is UNSET
    assert read('{"code": "a", "description": null}').description is None
    assert refused('{"code": "a", "amount_cents": null}') == {"amount_cents": ["value_is_mandatory"]}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0.1", "0.1"),
        ('"0.1"', "0.1"),
        ("1234567890123456789012345678901.2345678", "1234567890123456789012345678901.2345678"),
        ("0.00000000000000000000000000001", "0.00000000000000000000000000001"),
        ("1e3", "1000"),
        ('"-2.50"', "-2.50"),
    ],
)
def test_decimals_are_exact(written: str, meant: str) -> None:
    """No digit is lost between the caller's text and the decimal."""
    found = read(f'{{"code": "a", "charges": [{{"properties": {{"amount": {written}}}}}]}}')
    assert found.charges[0].properties.amount == Decimal(meant)


@pytest.mark.parametrize("number", ["1e999999999", "1e200000", "1e-999999999", "1" * 39, "1e31", "9" * 4000])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("name", ["amount_cents", "started_at", "amount"])
def test_a_number_of_a_few_bytes_costs_nothing(number: str, quote: str, name: str) -> None:
    """Digits and exponent are bounded before anything is expanded, in amounts and in instants."""
    value = f"{quote}{number}{quote}"
    inner = f'"charges": [{{"properties": {{"amount": {value}}}}}]' if name == "amount" else f'"{name}": {value}'
    started = time.perf_counter()
    assert list(refused(f'{{"code": "a", {inner}}}')) == ["charges[0].properties.amount" if name == "amount" else name]
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("number", ["29", "29.0", "2.9e1"])
def test_a_whole_number_is_one_however_json_writes_it(number: str) -> None:
    """JSON knows one kind of number."""
    assert read(f'{{"code": "a", "amount_cents": {number}}}').amount_cents == 29


@pytest.mark.parametrize("number", ['"29"', '"29.00"', "29.5", "true", "[29]", "9223372036854775808", "1e25"])
def test_what_is_no_int64_is_refused_and_never_cut(number: str) -> None:
    """`"29.00"` is not 29 cents, and 29.5 is not 29."""
    assert list(refused(f'{{"code": "a", "amount_cents": {number}}}')) == ["amount_cents"]


@pytest.mark.parametrize(
    "body", ['{"code": "a\\u0000b"}', '{"code": "a", "metadata": {"k": ["\\u0000"]}}', '{"code": 1}', '{"code": ""}']
)
def test_texts_that_cannot_be_kept_are_refused(body: str) -> None:
    """A database holds no NUL; an empty code is none; a number is no text."""
    assert refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": "\xff"}',
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"metadata":' + b"[" * 40 + b"]" * 40 + b"}",
        b"{",
        b"[]",
        b'"text"',
        b"1" * 5000,
        b'{"code": "\\ud800"}',
        b"NaN",
    ],
)
def test_a_body_that_is_no_object_is_a_400(body: bytes) -> None:
    """Broken text, other encodings and towers of brackets are the caller's mistake, never our accident."""
    with pytest.raises(Problem) as problem:
        unwrap(parse(body), "", Refusals())
    assert problem.value.status == 400


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"amount_cents": 1, "amount_cents": 100}', "amount_cents"),
        (b'{"tax": {"code": "a"}, "tax": {}}', "tax"),
        (b'{"a": [{"b": {"c": 1, "d": [], "c": 1}}]}', "c"),
        (b'{"\\u0061": 1, "a": 2}', "a"),
        (b'{"a:b\\"": ":{", "x": "\\\\", "x": 1}', "x"),
    ],
)
def test_a_key_given_twice_is_refused_by_its_name(body: bytes, key: str) -> None:
    """Choosing one of two values would be a guess, and nobody guesses about money."""
    with pytest.raises(Problem, match=f"gives '{key}' twice in one object") as problem:
        parse(body)
    assert problem.value.status == 400


@pytest.mark.parametrize(
    "body", [b'{"a": ":", "b:": "\\":{", "c": {"a": 1}, "d": [{"a": 1}, {"a": "\\\\"}]}', b'{"": {"": 1}}', b"[1, 2]"]
)
def test_colons_in_texts_are_no_keys(body: bytes) -> None:
    """The same key in two objects is two keys, whatever their texts hold."""
    assert parse(body) == json.loads(body)


def test_a_root_is_needed_and_nothing_may_stand_beside_it() -> None:
    """As Lago's clients wrap their bodies."""
    refusals = Refusals()
    assert unwrap({"tax": {"code": "a"}, "x": 1}, "tax", refusals) == {"code": "a"}
    assert refusals.fields == {"x": ["unknown_field"]}
    with pytest.raises(Problem, match="param is missing or the value is empty: tax"):
        unwrap({}, "tax", refusals)


def test_free_json_keeps_its_numbers_exact() -> None:
    """Metadata goes through as it came, decimals digit by digit."""
    assert read('{"code": "a", "metadata": {"x": 0.10, "y": [1, null, "z"]}}').metadata == {
        "x": Decimal("0.10"),
        "y": [1, None, "z"],
    }
    assert refused('{"code": "a", "metadata": {"x": 1e400}}') == {"metadata.x": ["invalid_format"]}


def test_lists_have_an_end() -> None:
    assert refused('{"code": "a", "tags": ["1", "2", "3"]}') == {"tags": ["value_is_too_long"]}


def test_a_body_of_junk_gets_a_short_answer() -> None:
    """However many keys are wrong, the refusal stays small."""
    junk = ",".join(f'"k{number}": 1' for number in range(10_000))
    assert len(refused(f"{{{junk}}}")) == MAX_REFUSALS


def test_instants_are_written_in_three_ways() -> None:
    """RFC 3339, Unix seconds, a day."""
    for written in ('"2024-01-01T01:00:00+01:00"', "1704067200", '"1704067200"', "1704067200.0", '"2024-01-01"'):
        assert read(f'{{"code": "a", "started_at": {written}}}').started_at == datetime(2024, 1, 1, tzinfo=UTC)


class Query(Struct, kw_only=True):
    NOT_OFFERED: ClassVar = frozenset({"search_term"})

    page: int = 1
    statuses: list[str] | UnsetType = UNSET
    group: dict[str, str] | UnsetType = UNSET
    is_open: bool | UnsetType = UNSET


def query(*pairs: tuple[str, str]) -> Any:
    refusals = Refusals()
    found = structs.read(Query, query_values(pairs, refusals), refusals, is_text=True)
    refusals.raise_any()
    return found


def test_a_query_is_read_as_strictly_as_a_body() -> None:
    """An unknown filter is refused: the whole list would come back instead of the part that was asked for."""
    assert query(("page", "2"), ("statuses[]", "a"), ("statuses[]", "b"), ("group[region]", "eu"), ("is_open", "true"))
    for pairs in (
        (("sort", "name"),),
        (("page", "2.0"),),
        (("page", "1"), ("page", "2")),
        (("search_term", "x"),),
        (("is_open", "yes"),),
        (("page", "9" * 30),),
    ):
        with pytest.raises(Problem) as problem:
            query(*pairs)
        assert list(problem.value.fields or {}) == [pairs[0][0]]


def test_an_empty_parameter_says_nothing() -> None:
    assert query(("page", ""), ("is_open", "")).page == 1
