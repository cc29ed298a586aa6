"""`genai doctor` in front of a set-up that is healthy and of one that is broken, as transcripts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.processes import Finished, Process, environment, run_genai, running_platform

GENAI = ("-c", "from genai_platform.cli import main; main()")
FAILED = 1
SECRET = "sk-hidden-0123456789"

HEALTHY = """\
gateway ok GATEWAY answers -
database ok sessions: DATA/sessions.db has the newest schema, REVISION -
database ok models: DATA/models.db has the newest schema, REVISION -
database ok calls: DATA/calls.db has the newest schema, REVISION -
database ok usage: DATA/usage.db has the newest schema, REVISION -
provider ok openai lists its models -
clock ok agrees with the provider's -
model ok no model in use is retired, or will be within 60 days -
security ok nothing insecure was found -
port ok GATEWAY (GATEWAY_PORT) is in use by this platform -
port ok SESSIONS (SESSIONS_PORT) is in use by this platform -
port ok MODELS (MODELS_PORT) is in use by this platform -
"""

BROKEN = """\
gateway error no gateway at 127.0.0.1:1 start the gateway, or correct GENAI_GATEWAY_URL
misspelt warning MODELS_PROT is no setting did you mean MODELS_PORT?
database error sessions: postgresql://127.0.0.1:1/x: connection failed: connection to server at "127.0.0.1", port 1 \
failed: Connection refused start it, or correct its URL or the rights of its user
database error models: DATA/models.db has schema 9999, this program REVISION \
run the program that wrote it, or a newer one
database error calls: DATA/calls.db: file is not a database \
correct its path or the rights of its user, or restore it: genai restore
database ok usage: DATA/usage.db has no tables yet; the service makes them -
provider error openai: refuses the key (HTTP 401) correct OPENAI_API_KEY
clock warning 3600 s ahead of the provider's synchronise it, as by NTP
model warning alias fast: claude-3-5-sonnet is retired (2025-10-28) name claude-sonnet-4-6 instead
model warning GENAI_MODEL: claude-3-5-haiku is retired (2026-02-19) name claude-haiku-4-5 instead
ledger warning DATA/usage/1-1-1.damaged: a part of it could not be read \
look after the disk and compare with the providers' invoices, then remove it
ledger warning DATA/usage/refused.records: the database has refused these records see the log
ledger warning DATA/usage has usage of 3600 s ago that the database does not have \
start the Model Service, or the database
security warning GENAI_HOST=0.0.0.0 can be reached by other machines, without TLS set GENAI_TLS_CERT_FILE and \
GENAI_TLS_KEY_FILE
security error GENAI_HOST=0.0.0.0 can be reached by other machines, and nobody is asked for a key set \
AUTH_MODE=required, or listen on 127.0.0.1
security warning HERE/.env is open to other users (0644) run: chmod 600 HERE/.env
port error TAKEN (MODELS_PORT) is in use by another program end what uses it, or set MODELS_PORT
"""


@contextlib.contextmanager
def provider(*, status: int, seconds_behind: int = 0) -> Iterator[str]:
    """A provider with an empty list of models, at the URL that is given."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"object": "list", "data": []}'
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time.time()) - seconds_behind)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def doctor(directory: Path, *arguments: str, **variables: str) -> Finished:
    return run_genai(directory, "doctor", *arguments, **variables)


def transcript(output: str, names: dict[str, str], *left_out: str) -> str:
    """The lines of some checks, with names in place of what differs each time."""
    lines = [line.replace("\t", " ") for line in output.splitlines() if line.split("\t")[0] not in left_out]
    text = "".join(f"{line}\n" for line in lines)
    for value, name in names.items():
        text = text.replace(value, name)
    return text


def test_healthy_set_up_is_told_to_be_so(tmp_path: Path) -> None:
    with provider(status=200) as url, running_platform(tmp_path) as platform:
        services = platform.services
        (tmp_path / ".env").chmod(0o600)
        variables = {f"{name.upper()}_PORT": service.port for name, service in services.items()}
        variables |= {"GENAI_GATEWAY_URL": platform.address, "GENAI_DATA_DIR": str(tmp_path / "data")}
        variables |= {"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": url}
        ended = doctor(tmp_path, **variables)
    names = {service.address: name.upper() for name, service in services.items()} | {str(tmp_path / "data"): "DATA"}
    assert ended.code == 0, ended.output + ended.log
    told = transcript(ended.output, names, "versions", "setting", "setting of the SDK")
    assert without_revisions(told) == HEALTHY
    assert "OPENAI_API_KEY=set (environment)" in ended.output
    assert SECRET not in ended.output + ended.log


def test_broken_set_up_is_told_with_what_to_do(tmp_path: Path) -> None:
    usage = tmp_path / "data" / "usage"
    usage.mkdir(parents=True)
    for name in ("1-1-1.damaged", "2-1-1.log", "refused.records"):
        (usage / name).touch()
    os.utime(usage / "2-1-1.log", (time.time() - 3600,) * 2)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "models.db")) as newer, newer:
        newer.execute("CREATE TABLE models_schema (version_num TEXT)")
        newer.execute("INSERT INTO models_schema VALUES ('9999')")
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={SECRET}\nMODELS_ALIASES=fast=claude-3-5-sonnet\n")
    (tmp_path / "data" / "calls.db").write_text("no database " * 100)
    (tmp_path / ".env").chmod(0o644)
    with provider(status=401, seconds_behind=3600) as url, socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        variables = {"GENAI_GATEWAY_URL": "127.0.0.1:1", "GENAI_HOST": "0.0.0.0", "OPENAI_BASE_URL": url}
        variables |= {
            "GATEWAY_PORT": "0",
            "SESSIONS_PORT": "0",
            "MODELS_PORT": port,
            "MODELS_PROT": "1",
            "GENAI_MODEL": "claude-3-5-haiku",
        }
        variables |= {"SESSIONS_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x"}
        ended = doctor(tmp_path, GENAI_DATA_DIR=str(tmp_path / "data"), **variables)
    names = {f"127.0.0.1:{port}": "TAKEN", str(tmp_path / "data"): "DATA", str(tmp_path): "HERE"}
    told = transcript(ended.output, names, "versions", "setting", "setting of the SDK")
    # A busy machine takes a second to answer.
    assert re.sub(r"36\d\d s (ahead|ago)", r"3600 s \1", without_revisions(told)) == BROKEN
    assert ended.code == FAILED
    assert "MODELS_ALIASES=fast=claude-3-5-sonnet (.env)" in ended.output
    assert "hidden" not in ended.output + ended.log
    assert not ended.log


def without_revisions(text: str) -> str:
    return re.sub(r"(?<=schema, )\d+|(?<=program )\d+", "REVISION", text)


def test_checks_of_the_services_are_left_out_where_these_are_not_installed(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['services'] = None; "
    command = ["-c", f"{hidden}{GENAI[1]}", "doctor", "-o", "json"]
    variables = environment(GATEWAY_PORT="0", SESSIONS_PORT="0", MODELS_PORT="0", GENAI_API_KEY=SECRET)
    (tmp_path / ".env").mkdir()
    process = Process.spawn(command, variables, tmp_path / "doctor.log", directory=tmp_path)
    try:
        unreadable, setting, *findings = json.loads(process.read_rest())[1:]
        assert process.wait() == FAILED
        assert not process.log()
    finally:
        process.close()
    assert unreadable["found"].startswith(f"{tmp_path}/.env cannot be read: is a directory")
    assert (unreadable["check"], unreadable["status"]) == ("setting of the SDK", "error")
    assert setting["found"] == "GENAI_API_KEY=set (environment)"
    assert [finding["check"] for finding in findings] == ["gateway", "services"]
    assert findings[-1]["advice"] == "to check them: pip install genai-platform-services"
