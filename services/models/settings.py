"""The Model Service's settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services.models.access.trust import ByTrust
from services.models.transport import egress
from services.models.transport.connector import Network
from services.models.transport.proxies import read_proxies
from services.models.transport.tls_trust import TlsTrust, check_trust
from services.shared import descriptors
from services.shared.channels import Address
from services.shared.database import sqlite_url
from services.shared.errors import StartupError
from services.shared.settings import ServiceSettings, is_loopback


class ModelsSettings(ServiceSettings):
    """What the Model Service reads beside what every process reads."""

    port: int = Field(50053, ge=0, le=65535, validation_alias="MODELS_PORT")
    database_url: SecretStr | None = Field(None, validation_alias="MODELS_DATABASE_URL")
    retired_policy: Literal["replace", "reject"] = Field("replace", validation_alias="MODELS_RETIRED_POLICY")
    aliases: str = Field("", validation_alias="MODELS_ALIASES")
    discovery: Literal["on", "off"] = Field("on", validation_alias="MODELS_DISCOVERY")
    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field("https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL")
    openai_organization: str = Field("", validation_alias="OPENAI_ORG_ID")
    openai_project: str = Field("", validation_alias="OPENAI_PROJECT_ID")
    anthropic_api_key: SecretStr | None = Field(None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str = Field("https://api.anthropic.com", validation_alias="ANTHROPIC_BASE_URL")
    sessions_address: Address = Field("127.0.0.1:50052", validation_alias="SESSIONS_ADDRESS")
    allowed_endpoints: str | None = Field(None, validation_alias="MODELS_ALLOWED_ENDPOINTS")
    credentials_directory: Path | None = Field(None, validation_alias="MODELS_CREDENTIALS_DIR")
    credentials: str = Field("", validation_alias="MODELS_CREDENTIALS")
    overrides: Literal["allow", "refuse"] | None = Field(None, validation_alias="MODELS_OVERRIDES")
    proxy: SecretStr | None = Field(None, validation_alias="MODELS_PROXY")
    ca_file: Path | None = Field(None, validation_alias="MODELS_CA_FILE")
    max_connections: int | None = Field(None, ge=2, validation_alias="MODELS_MAX_CONNECTIONS")

    def choose_database_url(self) -> str:
        if self.database_url:
            return self.database_url.get_secret_value()
        return sqlite_url(self.data_path(), "models")

    def choose_allowed_endpoints(self) -> ByTrust[Sequence[str]]:
        """The entries of each `EndpointPolicy`.

        A server that only its own machine can reach may connect to that machine and its networks for its operator,
        unless told otherwise; one that others can reach must be told, and so must any for strangers.
        """
        if self.allowed_endpoints is not None:
            told = self.allowed_endpoints.split(",")
            return ByTrust(told, told)
        return ByTrust([egress.PRIVATE if is_loopback(self.host) else egress.NONE], [egress.NONE])

    def choose_network(self) -> Network:
        """The proxies and authorities of this service's settings and of the environment. Raises StartupError."""
        ca_file = self.ca_file.expanduser().absolute() if self.ca_file else None
        check_trust(os.environ, ca_file)
        setting = self.proxy.get_secret_value() if self.proxy else ""
        return Network(read_proxies(os.environ, setting), TlsTrust(ca_file))

    def choose_max_connections(self) -> int:
        """How many connections to providers there may be. Raises StartupError when a process may not have so many."""
        possible = descriptors.connection_limit()
        if self.max_connections is None:
            return possible * 2 // 3
        if self.max_connections > possible:
            raise StartupError(
                f"MODELS_MAX_CONNECTIONS: {descriptors.limit()} open files leave room for {possible} connections;"
                " lower it, or raise the hard limit of open files (ulimit -Hn)"
            )
        return self.max_connections

    def choose_credentials_directory(self) -> Path | None:
        """Raises StartupError when it is no directory."""
        if self.credentials_directory is None:
            return None
        directory = self.credentials_directory.expanduser().absolute()
        if not directory.is_dir():
            raise StartupError(f"MODELS_CREDENTIALS_DIR: {directory} is no directory")
        return directory
