"""Settings: the environment, then `.env`; every mistake named, and no value repeated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from services.shared import settings as settings_module
from services.shared.errors import StartupError
from services.shared.settings import ServiceSettings, load_env_file, load_settings
from tests.rows import for_each

SECRET = "sk-CANARY"


class ExampleSettings(ServiceSettings):
    port: int = Field(50099, ge=0, le=65535, validation_alias="EXAMPLE_PORT")
    key: SecretStr | None = Field(None, validation_alias="EXAMPLE_API_KEY")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root, which is not the working directory, and an environment without settings."""
    root = tmp_path / "root"
    root.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(settings_module, "ROOT", root)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GENAI_", "EXAMPLE_"))}
    monkeypatch.setattr(os, "environ", environment)
    return root


def test_defaults_hold_where_nothing_is_set() -> None:
    settings = load_settings(ExampleSettings)
    assert (settings.host, settings.port, settings.log_level, settings.grace_seconds) == (
        "127.0.0.1",
        50099,
        "info",
        30.0,
    )


def test_env_file_of_the_project_is_read(root: Path) -> None:
    (root / ".env").write_text("EXAMPLE_PORT=1234\nexport EXAMPLE_API_KEY='sk-1'  # mine\n\n# a comment\n")
    settings = load_settings(ExampleSettings)
    assert settings.port == 1234
    assert settings.key
    assert settings.key.get_secret_value() == "sk-1"


def test_env_file_of_the_working_directory_comes_before_that_of_the_project(root: Path) -> None:
    (root / ".env").write_text("EXAMPLE_PORT=1\nEXAMPLE_API_KEY=of-the-root\n")
    Path(".env").write_text("EXAMPLE_PORT=2\n")
    settings = load_settings(ExampleSettings)
    assert (settings.port, settings.key) == (2, None)


def test_exported_variable_wins_over_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".env").write_text("EXAMPLE_PORT=1\n")
    monkeypatch.setitem(os.environ, "EXAMPLE_PORT", "2")
    assert load_settings(ExampleSettings).port == 2


def test_variables_of_the_file_are_there_for_everyone(root: Path) -> None:
    """A registered model names the variable that its key is in, whichever way it was set."""
    (root / ".env").write_text("ACME_API_KEY=sk-1\n")
    load_env_file()
    assert os.environ["ACME_API_KEY"] == "sk-1"


def test_name_without_a_value_is_ignored(root: Path) -> None:
    (root / ".env").write_text("EXAMPLE_PORT\nEXAMPLE_API_KEY=\n")
    settings = load_settings(ExampleSettings)
    assert (settings.port, settings.key) == (50099, None)
    assert "EXAMPLE_PORT" not in os.environ


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_empty_value_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY", value)
    assert not load_settings(ExampleSettings).key


def test_blanks_around_a_value_are_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY", f" {SECRET}\n")
    monkeypatch.setitem(os.environ, "GENAI_HOST", "127.0.0.1 ")
    settings = load_settings(ExampleSettings)
    assert settings.key
    assert settings.key.get_secret_value() == SECRET
    assert settings.host == "127.0.0.1"


def test_every_mistake_is_named_and_no_value_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EXAMPLE_PORT", "GENAI_LOG_LEVEL", "GENAI_GRACE_SECONDS"):
        monkeypatch.setitem(os.environ, name, SECRET)
    with pytest.raises(StartupError) as caught:
        load_settings(ExampleSettings)
    message = str(caught.value)
    assert all(name in message for name in ("EXAMPLE_PORT: ", "GENAI_LOG_LEVEL: ", "GENAI_GRACE_SECONDS: "))
    assert SECRET not in message
    assert "\n" not in message


@pytest.mark.parametrize("port", ["-1", "65536", "1.5", "0x50", "http"])
def test_port_is_a_number_in_range(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setitem(os.environ, "EXAMPLE_PORT", port)
    with pytest.raises(StartupError, match="EXAMPLE_PORT: "):
        load_settings(ExampleSettings)


def test_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY", SECRET)
    settings = load_settings(ExampleSettings)
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump_json()}"


def test_env_file_that_is_a_directory_is_a_startup_error() -> None:
    Path(".env").mkdir()
    with pytest.raises(StartupError, match=r"work/\.env cannot be read: is a directory$"):
        load_env_file()


@for_each(("content", "problem"), [(b"A=\xff\n", "it is not UTF-8 text"), (b"A=a\0b\n", "it contains a NUL character")])
def test_env_file_that_is_no_text_is_a_startup_error(content: bytes, problem: str) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(StartupError, match=f"cannot be read: {problem}$"):
        load_env_file()


def test_byte_order_mark_is_no_part_of_the_first_variable() -> None:
    Path(".env").write_text("EXAMPLE_PORT=1234\n", encoding="utf-8-sig")
    assert load_settings(ExampleSettings).port == 1234


def test_data_directory_of_the_operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "GENAI_DATA_DIR", str(tmp_path / "elsewhere"))
    assert load_settings(ExampleSettings).data_path() == tmp_path / "elsewhere"


def test_data_directory_of_a_project(root: Path) -> None:
    (root / "pyproject.toml").touch()
    assert load_settings(ExampleSettings).data_path() == root / "data"


def test_data_directory_of_an_installed_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "XDG_DATA_HOME", str(tmp_path / "share"))
    assert load_settings(ExampleSettings).data_path() == tmp_path / "share" / "genai-platform"


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n"])
def test_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    Path("key").write_text(content)
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY_FILE", "key")
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY", "")
    settings = load_settings(ExampleSettings)
    assert settings.key
    assert settings.key.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {settings.model_dump_json()}"


@for_each(
    ("content", "problem"),
    [
        (None, "no such file or directory"),
        (b"", "does not hold a secret"),
        (b"\n", "does not hold a secret"),
        (b"\xff", "does not hold a secret"),
        (b"x" * 70_000, "does not hold a secret"),
    ],
    ids=["missing", "empty", "blank", "binary", "large"],
)
def test_file_without_a_secret_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, problem: str
) -> None:
    Path("key").unlink(missing_ok=True)
    if content is not None:
        Path("key").write_bytes(content)
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY_FILE", "key")
    with pytest.raises(StartupError, match=rf"^EXAMPLE_API_KEY_FILE: .*/key .*{problem}"):
        load_settings(ExampleSettings)


def test_secret_has_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("key").write_text(SECRET)
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY_FILE", "key")
    monkeypatch.setitem(os.environ, "EXAMPLE_API_KEY", SECRET)
    with pytest.raises(StartupError, match="EXAMPLE_API_KEY and EXAMPLE_API_KEY_FILE are both set") as caught:
        load_settings(ExampleSettings)
    assert SECRET not in str(caught.value)


def test_file_is_for_secrets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("port").write_text("1234")
    monkeypatch.setitem(os.environ, "EXAMPLE_PORT_FILE", "port")
    assert load_settings(ExampleSettings).port == 50099
