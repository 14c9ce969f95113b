"""What is wrong with a request, field by field."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.problem import Problem

# Enough to correct a form in one go; the answer to a body of junk must not be larger than the junk.
MAX_REFUSALS = 100


class Invalid:
    """Placeholder for a value that was refused."""


INVALID = Invalid()


@dataclass
class Refusals:
    """What is wrong with a request, field by field.

    Attributes:
        fields: the codes, by the path that the caller wrote.
        sentences: the same in sentences for people.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    def add(self, path: str, code: str, detail: str) -> Invalid:
        """Refuse a field."""
        if len(self.fields) < MAX_REFUSALS:
            self.fields.setdefault(path, []).append(code)
            self.sentences.append(f"{path}: {detail}")
        return INVALID

    def take(self, others: Refusals) -> None:
        """Add the refusals of others."""
        for (path, codes), sentence in zip(others.fields.items(), others.sentences, strict=False):
            for code in codes:
                self.add(path, code, sentence.removeprefix(f"{path}: "))

    def raise_any(self) -> None:
        """Refuse the request if anything is wrong with it.

        Raises:
            Problem: 422, with every wrong field.
        """
        if self.fields:
            raise self.problem()

    def problem(self) -> Problem:
        """The refusal of a request in which something is wrong."""
        return Problem(422, "validation_errors", "; ".join(self.sentences), fields=self.fields)


@dataclass(frozen=True)
class Source:
    """The source of values, which decides how they are written.

    Attributes:
        refusals: collects what is wrong.
        is_text: whether every value is a text, as in paths and queries.
    """

    refusals: Refusals
    is_text: bool
