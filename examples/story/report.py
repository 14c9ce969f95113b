"""What the demo shows, and the comparison of what Farebox says with what it must be."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

# Of a log file; a terminal says its own.
WIDTH = 110


@dataclass
class Report:
    """Prints, and remembers whether everything was as expected.

    Attributes:
        console: where to print.
        failures: what was not as expected, a sentence each.
    """

    console: Console = field(default_factory=lambda: Console(width=None if sys.stdout.isatty() else WIDTH))
    failures: list[str] = field(default_factory=list)

    def step(self, title: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n[bold cyan]{title}[/]")

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(f"  {text}")

    def check(self, what: str, expected: Any, actual: Any) -> None:
        """Compare exactly; decimals compare by value, so `1.50` equals `1.5`."""
        if expected == actual:
            self.console.print(f"  [green]✓[/] {what}: {actual}")
            return
        self.failures.append(f"{what}: expected {expected}, Farebox says {actual}")
        self.console.print(f"  [bold red]✗ {self.failures[-1]}[/]")

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table; all columns but the first are numbers."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures


def dollars(cents: int) -> str:
    """Cents as dollars: `$1,234.56`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def exact_dollars(amount: str | Decimal) -> str:
    """An exact amount of dollars, shown to a hundredth of a cent."""
    return f"${Decimal(amount):,.4f}"
