"""Settings, read once at start from the environment and `.env`; all mistakes are reported together."""

from __future__ import annotations

import io
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.shared.admission import MAX_CALLS
from services.shared.errors import StartupError

ROOT = Path(__file__).resolve().parents[2]

FILE_SUFFIX = "_FILE"
"""End of the variable that names the file of a secret."""

MAX_SECRET_BYTES = 64 * 1024

SettingsType = TypeVar("SettingsType", bound=BaseSettings)


class ServiceSettings(BaseSettings):
    """The settings of every process."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        case_sensitive=True,
        # Keys from mounted files often end in a line break.
        str_strip_whitespace=True,
    )

    host: str = Field(
        "127.0.0.1",
        validation_alias="GENAI_HOST",
        description="address to listen on; one that other machines can reach needs TLS, `AUTH_MODE=required` or"
        " `GENAI_INSECURE`",
    )
    exposed: Literal["yes", "no"] = Field(
        "no",
        validation_alias="GENAI_EXPOSED",
        description="`yes` where others than this machine's user can call, as behind a proxy on the same machine; a"
        " `GENAI_HOST` beyond this machine means it. Then callers without keys are strangers, and what they register is"
        " held to the settings for strangers",
    )
    tls_cert_file: Path | None = Field(
        None,
        validation_alias="GENAI_TLS_CERT_FILE",
        description="PEM file of the certificate of this process's port, with those that it was signed with after it:"
        " the port then speaks TLS only. A changed file is read again, as all files of TLS are",
        json_schema_extra={"example": "/etc/genai/tls/server.pem"},
    )
    tls_key_file: Path | None = Field(
        None,
        validation_alias="GENAI_TLS_KEY_FILE",
        description="PEM file of the key of that certificate",
        json_schema_extra={"example": "/etc/genai/tls/server.key"},
    )
    tls_client_ca_file: Path | None = Field(
        None,
        validation_alias="GENAI_TLS_CLIENT_CA_FILE",
        description="PEM file of authorities: callers must have a certificate that one of them has signed; with"
        " `AUTH_MODE=required` it stands for a key, if it is bound to a project",
        json_schema_extra={"example": "/etc/genai/tls/clients-ca.pem"},
    )
    insecure: Literal["yes", "no"] = Field(
        "no",
        validation_alias="GENAI_INSECURE",
        description="`yes` lets a process without TLS and `AUTH_MODE=required` listen on a `GENAI_HOST` that other"
        " machines can reach, and lets the SDK send an API key unencrypted to such a host",
    )
    auth_mode: Literal["off", "required"] = Field(
        "off",
        validation_alias="AUTH_MODE",
        description="`required` lets the gateway ask every caller for an API key, token or bound certificate, and"
        " every service behind it for the signed identity that the gateway adds; the same for all processes",
    )
    internal_keys: SecretStr | None = Field(
        None,
        validation_alias="GENAI_INTERNAL_KEYS",
        description="keys that identities are signed with, of 32 bytes or more, with commas between them: the first one"
        " signs, all are accepted; the same for all processes",
        json_schema_extra={
            "default": "`internal.key` in `GENAI_DATA_DIR`, which the first process makes; with services on several"
            " machines it must be set",
            "example": "n3jWbYc0tq4V7m1d2fZp8xKuLsA5eRhG",
        },
    )
    data_directory: Path | None = Field(
        None,
        validation_alias="GENAI_DATA_DIR",
        description="directory of the SQLite files",
        json_schema_extra={"default": "`data` in the project"},
    )
    request_memory: int = Field(
        256,
        ge=128,
        validation_alias="GENAI_REQUEST_MEMORY_MIB",
        description="MiB of large requests, in all their forms, that a process holds at a time; further ones wait",
    )
    max_calls: int = Field(
        MAX_CALLS,
        ge=16,
        validation_alias="GENAI_MAX_CALLS",
        description="calls that run at a time in a process, streams included, 16 or more; a caller gets no more of them"
        " than are left free",
    )
    event_loop: Literal["uvloop", "asyncio"] | None = Field(
        None,
        validation_alias="GENAI_EVENT_LOOP",
        description="event loop that a service runs on: `uvloop`, or `asyncio`, Python's own",
        json_schema_extra={"default": "`uvloop` where it is installed"},
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="collector that spans are sent to by OTLP over gRPC; none are made without it. The other `OTEL_`"
        " variables of OpenTelemetry hold, too: by default, a tenth of the traces that begin here is sent"
        " (`OTEL_TRACES_SAMPLER`)",
        json_schema_extra={"example": "http://127.0.0.1:4317"},
    )
    admin_host: str = Field(
        "127.0.0.1",
        validation_alias="GENAI_ADMIN_HOST",
        description="address of the admin ports, which are unencrypted: in a container, one that the scraper can reach",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias="GENAI_LOG_LEVEL", description="`debug`, `info`, `warning` or `error`"
    )
    log_format: Literal["text", "json"] | None = Field(
        None,
        validation_alias="GENAI_LOG_FORMAT",
        description="form of the log: `text`, a short line for people, or `json`, an object in each line",
        json_schema_extra={"default": "`text` on a terminal, else `json`"},
    )
    grace_seconds: float = Field(
        30.0,
        ge=0,
        le=3600,
        validation_alias="GENAI_GRACE_SECONDS",
        description="seconds that running calls get when a process is stopped",
    )

    def is_exposed(self) -> bool:
        """Whether strangers may call: the service listens beyond this machine, or GENAI_EXPOSED says so, as behind a
        proxy on the same machine."""
        return self.exposed == "yes" or not is_loopback(self.host)

    def data_path(self) -> Path:
        """The directory of the SQLite files: GENAI_DATA_DIR, else `data` in a checkout, else the user's own."""
        if self.data_directory:
            return self.data_directory.expanduser().resolve()
        if (ROOT / "pyproject.toml").is_file():
            return ROOT / "data"
        state = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        return Path(state) / "genai-platform"


class ClientSettings(ServiceSettings):
    """The settings of a process that calls other services."""

    tls_ca_file: Path | None = Field(
        None,
        validation_alias="GENAI_TLS_CA_FILE",
        description="PEM file of the authorities that servers at `https://` addresses must have their certificate from;"
        " the SDK reads it, too",
        json_schema_extra={"default": "the system's authorities", "example": "/etc/genai/tls/ca.pem"},
    )
    tls_client_cert_file: Path | None = Field(
        None,
        validation_alias="GENAI_TLS_CLIENT_CERT_FILE",
        description="PEM file of the certificate that is shown to such servers, if they require one, by the SDK, too",
        json_schema_extra={"example": "/etc/genai/tls/client.pem"},
    )
    tls_client_key_file: Path | None = Field(
        None,
        validation_alias="GENAI_TLS_CLIENT_KEY_FILE",
        description="PEM file of the key of that certificate",
        json_schema_extra={"example": "/etc/genai/tls/client.key"},
    )


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` is reachable from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def load_settings(settings_type: type[SettingsType]) -> SettingsType:
    """Reads `.env` and the environment; an exported variable wins over `.env`. Instead of a secret in NAME there may be
    the path of its file in NAME_FILE.

    Raises StartupError naming every wrong variable. It does not quote values, because they may be secrets.
    """
    load_env_file()
    secrets: dict[str, Any] = dict(_secrets_of_files(settings_type))
    try:
        return settings_type(**secrets)
    except ValidationError as error:
        problems = [f"{problem['loc'][0]}: {_plain(problem['msg'])}" for problem in error.errors()]
        raise StartupError("; ".join(problems)) from None


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is a secret, which may be in a file."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _secrets_of_files(settings_type: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    """The secrets that files hold, by their variables. Raises StartupError."""
    for field in settings_type.model_fields.values():
        variable = field.validation_alias
        if not isinstance(variable, str) or not is_secret(field):
            continue
        path = os.environ.get(variable + FILE_SUFFIX)
        if not path:
            continue
        if os.environ.get(variable):
            raise StartupError(f"{variable} and {variable}{FILE_SUFFIX} are both set; leave one of them out")
        yield variable, read_secret(variable + FILE_SUFFIX, Path(path).expanduser())


def read_secret(variable: str, path: Path) -> str:
    """The secret in a file, without the blanks and line breaks around it. Raises StartupError, naming the variable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        problem = (error.strerror or "unknown error").lower()
        raise StartupError(f"{variable}: {path.absolute()} cannot be read: {problem}") from None
    try:
        secret = data.decode().strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(data) > MAX_SECRET_BYTES:
        raise StartupError(f"{variable}: {path.absolute()} does not hold a secret: a text of 64 KiB or less")
    return secret


def load_env_file() -> None:
    """Reads the variables of `.env` (in the working directory, else in the project root) into the environment."""
    for path in (Path(".env"), ROOT / ".env"):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            continue
        except OSError as error:
            problem = (error.strerror or "unknown error").lower()
            raise StartupError(f"{path.absolute()} cannot be read: {problem}") from None
        except UnicodeDecodeError:
            raise StartupError(f"{path.absolute()} cannot be read: it is not UTF-8 text") from None
        if "\0" in text:
            raise StartupError(f"{path.absolute()} cannot be read: it contains a NUL character")
        for name, value in dotenv_values(stream=io.StringIO(text)).items():
            if value is not None:
                os.environ.setdefault(name, value)
        return


def _plain(message: Any) -> str:
    text = str(message)
    return text[0].lower() + text[1:]
