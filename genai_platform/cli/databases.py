"""The databases and key files of the platform on this machine, as the services' settings name them.

It needs the packages of the services.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.gateway.main import GatewaySettings
from services.models.settings import ModelsSettings, Settings
from services.sessions.main import SessionsSettings
from services.shared import sqlite
from services.shared.errors import StartupError
from services.shared.file_lock import FileLock
from services.shared.internal_keys import FILE as KEY_FILE
from services.shared.internal_keys import VARIABLE as KEY_VARIABLE
from services.shared.settings import ServiceSettings, load_settings

FIELD_SUFFIX = "database_url"
KINDS: tuple[type[SessionsSettings] | type[ModelsSettings] | type[GatewaySettings], ...] = (
    SessionsSettings,
    Settings,
    GatewaySettings,
)
SQLITE, POSTGRESQL, KEY = "sqlite", "postgresql", "key"


class Store(NamedTuple):
    """A database, or a file with a key, and the variables that lead to it."""

    kind: str
    variables: tuple[str, ...]
    url: URL | None
    path: Path

    @property
    def place(self) -> str:
        """Location of the database, without a password."""
        return str(self.path) if self.kind != POSTGRESQL or not self.url else self.url.render_as_string()


def list_stores() -> list[Store]:
    """All of them, each once. Raises ValueError for settings that cannot be read."""
    try:
        return _list_stores()
    except StartupError as error:
        raise ValueError(str(error)) from None


def _list_stores() -> list[Store]:
    variables: dict[str, list[str]] = {}
    for settings in (load_settings(kind) for kind in KINDS):
        for name, field in type(settings).model_fields.items():
            if name.endswith(FIELD_SUFFIX):
                variables.setdefault(getattr(settings, f"choose_{name}")(), []).append(str(field.validation_alias))
    keys = _key_files(load_settings(ServiceSettings))
    return [_store(url, tuple(names)) for url, names in variables.items()] + keys


def _store(text: str, variables: tuple[str, ...]) -> Store:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StartupError(f"{variables[0]}: cannot be read; write sqlite:///path or postgresql://…") from None
    if url.get_backend_name() == SQLITE:
        # As the services do, whose side files are beside the target of a link.
        return Store(SQLITE, variables, url, Path(url.database or "").expanduser().absolute().resolve())
    return Store(POSTGRESQL, variables, url, Path())


def _key_files(settings: ServiceSettings) -> list[Store]:
    """The internal key's file, where the settings have no key themselves."""
    if settings.internal_keys:
        return []
    return [Store(KEY, (KEY_VARIABLE,), None, settings.data_path() / KEY_FILE)]


def served_lock(store: Store) -> FileLock:
    """The lock of the service that serves a SQLite file."""
    return sqlite.served_lock(store.path)


def ports() -> dict[str, int]:
    """The ports that the settings give the services, by their variables; without those that are any free one."""
    found = {str(kind.model_fields["port"].validation_alias): load_settings(kind).port for kind in KINDS}
    return {variable: port for variable, port in found.items() if port}
