"""`genai health` in front of real services."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from click.testing import CliRunner, Result

from genai_platform.cli import commands
from tests.support.certificates import Authority
from tests.support.processes import running, running_platform

FAILED = 1
NEWS_SECONDS = 5.0
"""Time within which a gateway has noticed that a service is gone."""


def ask(*options: str, **variables: str) -> Result:
    unset: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GENAI_")}
    return CliRunner().invoke(commands.genai, ["health", "-o", "json", *options], env=unset | variables)


def statuses(ended: Result) -> dict[str, str]:
    return {record["service"]: record["status"] for record in json.loads(ended.stdout)}


def test_health_tells_of_each_service_by_the_gateway_and_by_its_address(tmp_path: Path) -> None:
    with running_platform(tmp_path) as platform:
        services = platform.services
        variables = {"GENAI_GATEWAY_URL": platform.address}
        variables |= {f"{name.upper()}_ADDRESS": services[name].address for name in ("models", "sessions")}
        ended = ask("--wait", "30", **variables)
        assert ended.exit_code == 0, ended.stdout

        services["sessions"].send(signal.SIGKILL)
        services["sessions"].wait()
        expected = dict.fromkeys(("gateway", "sessions", "sessions, directly"), "error")
        expected |= dict.fromkeys(("models", "models, directly"), "ok")
        deadline = time.monotonic() + NEWS_SECONDS
        while (status := statuses(ended := ask(**variables))) != expected:
            assert time.monotonic() < deadline, status
        assert ended.exit_code == FAILED


def test_health_says_what_to_do_about_a_gateway_that_is_not_there() -> None:
    ended = ask(GENAI_GATEWAY_URL="127.0.0.1:1", MODELS_ADDRESS="", SESSIONS_ADDRESS="")
    assert ended.exit_code == FAILED
    advice = {record["advice"] for record in json.loads(ended.stdout)}
    assert advice == {"it does not answer (UNAVAILABLE): start it, or correct its address"}


def test_health_says_why_a_certificate_is_refused(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue_files("DNS:localhost")
    settings = {"GENAI_TLS_CERT_FILE": str(files.certificate), "GENAI_TLS_KEY_FILE": str(files.key)}
    problems = {
        ("localhost", ""): "is from an authority that is not trusted",
        ("127.0.0.1", str(tmp_path / "authority.pem")): "is for another host name",
    }
    with running("gateway", tmp_path, **settings) as gateway:
        port = gateway.address.rpartition(":")[2]
        for (host, authority), problem in problems.items():
            ended = ask(GENAI_GATEWAY_URL=f"https://{host}:{port}", GENAI_TLS_CA_FILE=authority)
            assert ended.exit_code == FAILED
            assert all(problem in record["advice"] for record in json.loads(ended.stdout))
