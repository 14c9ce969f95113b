"""`farebox events import`: exact, resumable, and safe to repeat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import events, progress_file
from services.cli.main import main
from tests.support.ingest.process import Ingest

LINES = 2_500


def _import(ingest: Ingest, file: Path, *options: str) -> str:
    arguments = ["events", "import", str(file), "--organization", ingest.organization]
    result = CliRunner().invoke(main, [*arguments, "--address", f"127.0.0.1:{ingest.port}", *options])
    assert result.exception is None, result.output
    return result.output


def _ndjson(path: Path) -> Path:
    lines = [
        {"transaction_id": f"id-{n}", "external_customer_id": "acme", "code": "api_call", "timestamp": 1767225600.25}
        for n in range(LINES)
    ]
    lines[7]["code"] = "unknown"
    text = [json.dumps(line) for line in lines]
    text[3] = "{broken"
    text[2000] = text[0]
    path.write_text("\n".join(text) + "\n")
    return path


def test_ndjson_is_reported_exactly(ingest: Ingest, tmp_path: Path) -> None:
    file = _ndjson(tmp_path / "events.ndjson")
    _import(ingest, file)
    progress = progress_file.load(file, ingest.organization, restart=False)
    assert progress.outcomes == {"accepted": LINES - 3, "quarantined": 1, "rejected": 1, "duplicate": 1}
    problems = [json.loads(line) for line in progress_file.problems_of(file).read_text().splitlines()]
    assert [(problem["line"], problem["outcome"]) for problem in problems] == [
        (4, "rejected"),
        (8, "quarantined"),
        (2001, "duplicate"),
    ]
    assert ingest.stored() == LINES - 2
    assert ingest.scalar("SELECT max(occurred_at)::text FROM usage_events") == "2026-01-01 00:00:00.25+00"


def test_interrupted_import_goes_on(ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _ndjson(tmp_path / "events.ndjson")
    save = progress_file.save

    def die(path: Path, progress: progress_file.Progress) -> None:
        save(path, progress)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(events.progress_file, "save", die)
        arguments = ["events", "import", str(file), "--organization", ingest.organization]
        CliRunner().invoke(main, [*arguments, "--address", f"127.0.0.1:{ingest.port}"])
    assert ingest.stored() == 999
    _import(ingest, file)
    progress = progress_file.load(file, ingest.organization, restart=False)
    assert progress.outcomes == {"accepted": LINES - 3, "quarantined": 1, "rejected": 1, "duplicate": 1}
    _import(ingest, file, "--restart")
    assert ingest.stored() == LINES - 2


def test_csv_with_property_columns(ingest: Ingest, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text(
        "transaction_id,external_subscription_id,code,timestamp,properties.tokens\n"
        "a,sub-acme,llm_tokens,2026-01-01T00:00:00Z,12.50\n"
        'b,sub-acme,llm_tokens,1767225600,"1e3"\n'
        "c,sub-acme,llm_tokens,2026-01-01T00:00:00Z\n"
    )
    _import(ingest, file)
    progress = progress_file.load(file, ingest.organization, restart=False)
    assert progress.outcomes == {"accepted": 2, "rejected": 1}
    assert {entry.properties for entry in ingest.announced()} == {b'{"tokens": "12.50"}', b'{"tokens": "1e3"}'}
