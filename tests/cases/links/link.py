"""The shape of a link."""

from __future__ import annotations

from collections.abc import Callable

from tests.cases.cases import Case, Figures
from tests.cases.customer import Customer

# Plays a case; the figures it comes to, by the names under which the case expects them.
Link = Callable[[Case, Customer], Figures]
