"""docs/architecture.md says where each rule is; a reader who follows it finds a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# A shorter table would answer too few questions.
LEAST_ROWS = 25


def _rows() -> list[tuple[str, list[str]]]:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Where is …")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!rule \|)([^|-][^|]*) \| ([^|]*) \|$", table, flags=re.MULTILINE)
    return [(rule, re.findall(r"`([^`]+)`", place)) for rule, place in rows]


def test_the_table_answers_enough_questions() -> None:
    """At least 25 rules have a place."""
    assert len(_rows()) >= LEAST_ROWS


@pytest.mark.parametrize(("rule", "places"), _rows(), ids=[rule for rule, _ in _rows()])
def test_each_place_exists(rule: str, places: list[str]) -> None:
    """Every path of a row is a file or a folder; `<model>` stands for any name."""
    for place in places:
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", place))), f"{rule}: nothing is at {place}"


@pytest.mark.parametrize("page", ["flows.md", "architecture.md"])
def test_every_path_of_a_page_exists(page: str) -> None:
    """Every file that a page names exists."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:services|gateway|protos|tests|docs)/[\w./-]+?)(?::[ \w]+)?`", text))
    assert len(paths) > LEAST_ROWS
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_link_of_the_index_leads_somewhere() -> None:
    """The index of the documentation links only to pages that exist."""
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > LEAST_ROWS // 2
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
