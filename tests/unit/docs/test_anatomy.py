"""The four services have one anatomy (docs/style.md), so that a reader of one of them finds the way in the others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source import tree_of

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("ingest", "rating", "entitlements", "margin")

# What a service still does in its own way, in the words of `departures`. Lines are taken away, never added.
NOT_YET: dict[str, set[str]] = {
    "ingest": set(),
    "rating": set(),
    "entitlements": set(),
    "margin": set(),
    "gateway": set(),
}


def classes_of(path: Path) -> list[str]:
    """Names of the classes a file defines at its top."""
    return [node.name for node in tree_of(path).body if isinstance(node, ast.ClassDef)]


def names_of(path: Path) -> set[str]:
    """Names that a file binds at its top by an assignment."""
    targets: list[ast.expr] = []
    for node in tree_of(path).body:
        targets += node.targets if isinstance(node, ast.Assign) else []
        targets += [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def camel(words: str) -> str:
    """`usage_event` as `UsageEvent`."""
    return "".join(word.capitalize() for word in words.split("_"))


def sources_of(room: Path) -> list[Path]:
    """The files of a room, without its migrations, which are history."""
    return sorted(path for path in room.rglob("*.py") if "migrations" not in path.parts)


def missing_parts(room: Path) -> Iterator[str]:
    """Missing parts, of those that each service has: its description and five files, each with the expected name."""
    wanted = {
        "deps.py": "Deps",
        "settings.py": f"{camel(room.name)}Settings",
        "consumers.py": "HANDLERS",
        "jobs.py": "JOBS",
    }
    yield from (f"{name}: missing" for name in ("README.md", "main.py") if not (room / name).exists())
    for name, holds in wanted.items():
        path = room / name
        if not path.exists():
            yield f"{name}: missing"
        elif holds not in {*classes_of(path), *names_of(path)}:
            yield f"{name}: without {holds}"


def misnamed_servicers(room: Path) -> Iterator[str]:
    """`rpc/<noun>.py` holds the one class `<Noun>Servicer`, and `rpc/` holds nothing else."""
    for path in sorted((room / "rpc").glob("*.py")):
        if path.name != "__init__.py" and classes_of(path) != [f"{camel(path.stem)}Servicer"]:
            yield f"rpc/{path.name}: not the one class {camel(path.stem)}Servicer"


def foreign_parameters(room: Path) -> Iterator[str]:
    """Parameters for the tenant that are not called `organization`; `Owner` is a word of databases."""
    for path in sources_of(room):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.arg):
                type_ = ast.unparse(node.annotation) if node.annotation else ""
                is_tenant = type_ == "OrganizationId" or (node.arg == "owner" and type_ != "Owner")
                if is_tenant and node.arg != "organization":
                    yield f"{path.relative_to(room)}: parameter {node.arg}"


def glossary() -> tuple[set[str], set[str]]:
    """Our words and what others say for them, in small letters and without the marks of code."""
    ours: set[str] = set()
    theirs: set[str] = set()
    for line in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "our word":
            ours |= words_in(cells[0])
            theirs |= words_in(cells[2])
    return ours, theirs - ours


def words_in(cell: str) -> set[str]:
    """The terms of a cell: `a, b: c` are three."""
    plain = re.sub(r"\([^)]*\)|`", "", cell).lower().replace("-", " ").replace("_", " ")
    return {term.strip() for term in re.split(r"[,:]", plain) if term.strip()}


def spaced(name: str) -> str:
    """`UsageEventServicer` as ` usage event servicer `."""
    return f" {' '.join(re.findall('[A-Z][a-z0-9]*', name)).lower()} "


# Dialects whose shapes are known to their users by another system's names, in the reference too.
FOREIGN_SHAPES = {"cloudevents", "stripe"}


def foreign_words(room: Path) -> Iterator[str]:
    """No class is named by a word that only others use; our own words are taken out first: `UsageEvent` is no event."""
    ours, theirs = glossary()
    for path in sources_of(room):
        if FOREIGN_SHAPES & set(path.parts):
            continue
        for name in classes_of(path):
            rest = spaced(name)
            for term in sorted(ours, key=len, reverse=True):
                rest = re.sub(f"(?<= ){term}s?(?= )", "|", rest)
            yield from (
                f"{path.relative_to(room)}: class {name} says {term!r}"
                for term in sorted(theirs)
                if re.search(f" {term}s? ", rest)
            )


def departures(room: Path) -> set[str]:
    """Everything by which a service departs from the common anatomy."""
    return {*missing_parts(room), *misnamed_servicers(room), *foreign_parameters(room), *foreign_words(room)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_built_like_the_others(service: str) -> None:
    """Its departures are exactly those in NOT_YET: a line is removed when its departure is mended."""
    assert departures(ROOT / "services" / service) == NOT_YET[service]


@pytest.mark.parametrize("room", ["gateway", "services/chassis", "services/kernel", "services/cli", "services/local"])
def test_no_class_of_another_room_is_named_by_a_word_of_others(room: str) -> None:
    """One word for each thing holds for the whole house."""
    assert set(foreign_words(ROOT / room)) == NOT_YET.get(room, set())


def test_a_departure_is_noticed(tmp_path: Path) -> None:
    """The test can fail: in a room with every fault, every fault is reported."""
    (tmp_path / "rpc").mkdir()
    (tmp_path / "rpc" / "alert_service.py").write_text("class AlertService: ...\n")
    (tmp_path / "deps.py").write_text("def f(owner): ...\n")
    (tmp_path / "store.py").write_text("class UsageEvent: ...\nclass LineItem: ...\n")
    assert departures(tmp_path) == {
        "README.md: missing",
        "main.py: missing",
        "settings.py: missing",
        "consumers.py: missing",
        "jobs.py: missing",
        "deps.py: without Deps",
        "deps.py: parameter owner",
        "rpc/alert_service.py: not the one class AlertServiceServicer",
        "store.py: class LineItem says 'line item'",
    }
