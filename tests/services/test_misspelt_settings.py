"""Misspelt environment variables are told at start, and nobody's right ones are."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

from services.gateway.main import GatewaySettings
from services.models.settings import Settings
from services.sessions.main import SessionsSettings
from services.shared.misspelt import find_misspelt, variables_of
from services.shared.settings import ServiceSettings
from tests.rows import for_each
from tests.support.processes import running

SERVICES: tuple[type[ServiceSettings], ...] = (GatewaySettings, Settings, SessionsSettings)
OF_THE_SDK = ("GENAI_API_KEY", "GENAI_API_KEY_FILE", "GENAI_GATEWAY_URL", "GENAI_MODEL")


@for_each(
    ("given", "meant"),
    [
        ("ANTROPIC_API_KEY", "ANTHROPIC_API_KEY"),
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("MODEL_PORT", "MODELS_PORT"),
        ("GENAI_DATA_DRI", "GENAI_DATA_DIR"),
        ("GENAI_HOSTS", "GENAI_HOST"),
    ],
)
def test_slip_is_found_with_the_right_name(given: str, meant: str) -> None:
    assert dict(find_misspelt({given: "x"}, variables_of(Settings))) == {given: meant}


def test_no_setting_of_one_program_is_taken_for_that_of_another() -> None:
    for own, other in itertools.permutations(map(variables_of, SERVICES), 2):
        assert dict(find_misspelt(dict.fromkeys((*other, *OF_THE_SDK), "x"), own)) == {}


def test_service_warns_once_of_a_line_in_its_env_file_without_its_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SESSION_PORT=secret\n")
    with running("sessions", tmp_path) as service:
        service.send(signal.SIGTERM)
        service.wait()
        told = [entry for entry in service.entries() if "did_you_mean" in entry]
        assert [entry["did_you_mean"] for entry in told] == [{"SESSION_PORT": "SESSIONS_PORT"}]
        assert "=secret" not in service.log()
        assert '"secret"' not in service.log()
