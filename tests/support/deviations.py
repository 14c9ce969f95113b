"""What docs/deviations.md lists, by the headings under which it does."""

from __future__ import annotations

import re
from pathlib import Path

DEVIATIONS = Path(__file__).parents[2] / "docs" / "deviations.md"
NOT_IN_THE_DOMAIN = "Cases that the rating domain does not run"
INCOMPLETE = "Incomplete cases that are not run"
NOT_OVER_REST = "Dated cases that are not played over REST"


def listed(*headings: str) -> list[str]:
    """The ids of the cases under these headings, each of which has a reason."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DEVIATIONS.read_text(), re.MULTILINE | re.DOTALL))
    return [
        case_id for heading in headings for case_id in re.findall(r"^- `([^`]+)`: \S", sections[heading], re.MULTILINE)
    ]
