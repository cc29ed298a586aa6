"""Commands that work on the machine of the services, without asking these. They need the packages of the services."""

from __future__ import annotations

from genai_platform.v1.access_pb2 import CreateKeyResponse
from services.access import first_key
from services.shared.errors import PlatformError, StartupError


async def create_admin_key(name: str, project: str) -> CreateKeyResponse:
    """Creates a key with all scopes in the access database. Raises ValueError, saying why, when that fails."""
    try:
        return await first_key.create_admin_key(name, project)
    except StartupError as error:
        raise ValueError(str(error)) from None
    except PlatformError as error:
        raise ValueError(error.message) from None
