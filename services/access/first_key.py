"""The first key: made on the machine of the access database, because nobody has one yet to ask for it."""

from __future__ import annotations

import getpass
import os

from proto.access_pb2 import (
    ApiKey,
    CreateKeyRequest,
    CreateKeyResponse,
    CreateProjectRequest,
    CreateTeamRequest,
    Project,
    Team,
)
from services.access.access import MIGRATIONS
from services.access.audit import Actor
from services.access.changes import Changes
from services.access.directory import Directory
from services.access.keys import Keys
from services.access.records import PROJECTS, TEAMS
from services.access.settings import AccessSettings
from services.access.validation import SCOPES
from services.shared.database import Database
from services.shared.errors import StartupError
from services.shared.logs import open_log
from services.shared.settings import load_settings

DEFAULT = "default"
"""The id of the team and project of the first key."""


async def create_admin_key(name: str, project_id: str = "") -> CreateKeyResponse:
    """Creates a key with all scopes in the database of the settings, which is made if there is none.

    Raises StartupError when the database cannot be used, and PlatformError when the key cannot be created.
    """
    settings = load_settings(AccessSettings)
    log = open_log("access", "error")
    database = await Database.open(settings.choose_access_database_url(), MIGRATIONS, log)
    try:
        if not database.available:
            raise StartupError(f"{database.location}: cannot be reached")
        return await add_admin_key(database, name, project_id, settings.access_max_key_days)
    finally:
        await database.close()


async def add_admin_key(
    database: Database, name: str, project_id: str = "", max_key_days: int = 365
) -> CreateKeyResponse:
    """The same in an open database."""
    changes = Changes(database, _no_refresh)
    by = Actor("cli", _operator(), reason="admin key")
    if not project_id:
        project_id = DEFAULT
        await _make_default(database, Directory(changes), by)
    key = ApiKey(name=name, project_id=project_id, scopes=SCOPES)
    return await Keys(changes, max_key_days).create(CreateKeyRequest(key=key), by)


async def _make_default(database: Database, directory: Directory, by: Actor) -> None:
    async with database.read() as connection:
        team = await TEAMS.find(connection, DEFAULT)
        project = await PROJECTS.find(connection, DEFAULT)
    if team is None:
        await directory.create_team(CreateTeamRequest(team=Team(id=DEFAULT)), by)
    if project is None:
        await directory.create_project(CreateProjectRequest(project=Project(id=DEFAULT, team_id=DEFAULT)), by)


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        return f"uid {os.getuid()}"


async def _no_refresh() -> None:
    """Does nothing: the gateways see the change by themselves."""
