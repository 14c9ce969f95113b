"""A statement with conditions that apply only if their value is given, such as the filters of a list.

    _LIST = Filtered(
        "SELECT … FROM invoices i WHERE i.organization_id = %(organization)s {filters} ORDER BY i.invoice_id DESC",
        customer="i.external_customer_id = %(customer)s",
        states="i.state = ANY(%(states)s)",
    )
    tx.exec_driver_sql(_LIST.text(values), values)

Conditions that are not needed are left out, so that the planner sees no `IS NULL OR`. All variants are known in
advance, and a test prepares each of them against the migrated schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NOT_GIVEN: tuple[Any, ...] = (None, "", [], ())


class Filtered:
    """SQL with a place `{filters}` for conditions, each under the name of the value it needs."""

    def __init__(self, text: str, **conditions: str) -> None:
        self._parts = text.split("{filters}")
        self._conditions = conditions

    def text(self, values: Mapping[str, Any]) -> str:
        """The statement with the conditions whose value is given and not empty; zero and false are values."""
        return self._with(name for name in self._conditions if values.get(name) not in _NOT_GIVEN)

    def variants(self) -> Iterator[str]:
        """The statement without conditions, with each condition alone, and with all: all the ways to be wrong."""
        yield self._with(())
        for name in self._conditions:
            yield self._with((name,))
        yield self._with(self._conditions)

    def _with(self, names: Any) -> str:
        return "".join(f"AND {self._conditions[name]} " for name in names).join(self._parts)
