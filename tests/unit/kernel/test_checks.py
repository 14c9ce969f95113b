"""Every wrong field at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.kernel.checks import MAX_VIOLATIONS, inside
from services.kernel.errors import FieldViolation, InvalidArgumentError, NotFoundError


def refuse(field: str) -> int:
    """A check that refuses."""
    raise InvalidArgumentError.of_field(field, "value_is_invalid", "is wrong")


def refusal(block: Callable[[], object]) -> InvalidArgumentError:
    """What a block raises."""
    with pytest.raises(InvalidArgumentError) as error:
        block()
    return error.value


def fields(error: InvalidArgumentError) -> list[str]:
    """The fields an error names."""
    return [violation.field for violation in error.violations]


def test_a_block_without_refusals_is_only_a_block() -> None:
    """What passes its checks is untouched."""
    with inside("plan") as checks:
        checks(len, "code")
        number = checks.read(0, int, "7")
    assert number == 7


def test_every_refusal_is_named_with_its_whole_path() -> None:
    """The first is told in the message, all are violations, in the order of the checks; a value is stood in for."""

    def block() -> None:
        with inside("plan.charges[2]") as checks:
            checks(refuse, "code")
            assert checks.read(5, refuse, "amount") == 5
            checks.refuse("metric_code", "value_is_mandatory", "is required")
            refuse("filters[1].values")

    error = refusal(block)
    assert fields(error) == [
        f"plan.charges[2].{field}" for field in ("code", "amount", "metric_code", "filters[1].values")
    ]
    assert error.message == "plan.charges[2].code: is wrong"
    assert error.violations[2] == FieldViolation("plan.charges[2].metric_code", "value_is_mandatory", "is required")


def test_a_name_is_changed_where_it_stands_first() -> None:
    """The caller knows the field by another name; deeper in the path the same word is another field."""

    def block() -> None:
        with inside("plan.charges[0]", {"minimum": "min_amount_cents"}) as checks:
            checks(refuse, "minimum")
            checks(refuse, "model.minimum")

    assert fields(refusal(block)) == ["plan.charges[0].min_amount_cents", "plan.charges[0].model.minimum"]


def test_blocks_nest() -> None:
    """An inner block's refusals are inside the outer one, which goes on with its next entry."""

    def entry(number: int) -> int:
        with inside(f"charges[{number}]") as charge:
            return charge.read(0, refuse, "code")

    def block() -> None:
        with inside("plan") as plan:
            assert [plan.read(-1, entry, number) for number in range(2)] == [-1, -1]

    assert fields(refusal(block)) == ["plan.charges[0].code", "plan.charges[1].code"]


def test_a_field_is_refused_once_for_a_reason() -> None:
    """Whoever reads a value and what is made of it may both look at it."""

    def block() -> None:
        with inside("plan") as checks:
            checks(refuse, "code")
            checks.refuse("code", "value_is_too_long", "is long")
            refuse("code")

    assert [violation.reason for violation in refusal(block).violations] == ["value_is_invalid", "value_is_too_long"]


def test_refusals_are_bounded() -> None:
    """The block ends as soon as it has seen as many as it tells."""
    seen = []

    def block() -> None:
        with inside() as checks:
            for number in range(1000):
                seen.append(number)
                checks(refuse, f"entries[{number}]")

    assert len(refusal(block).violations) == len(seen) == MAX_VIOLATIONS


@pytest.mark.parametrize("wrong", [NotFoundError("PLAN_UNKNOWN", "gone"), InvalidArgumentError("OTHER", "no field")])
def test_what_names_no_field_ends_the_block_as_it_is(wrong: Exception) -> None:
    """Only refusals of fields are gathered."""

    def block() -> None:
        with inside("plan") as checks:
            checks(refuse, "code")
            raise wrong

    with pytest.raises(type(wrong)) as error:
        block()
    assert error.value is wrong


def test_paths_grow_outwards() -> None:
    """A field is named from the outermost message, with what that message calls it."""
    with pytest.raises(InvalidArgumentError) as refused, inside("plan"), inside("charges[2]", {"a": "b"}):
        raise InvalidArgumentError.of_field("a[1].x", "value_is_invalid", "is wrong")
    assert [violation.field for violation in refused.value.violations] == ["plan.charges[2].b[1].x"]
    assert refused.value.metadata["field"] == "plan.charges[2].b[1].x"
