"""The settings of the access database."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from services.shared.settings import ClientSettings


class AccessSettings(ClientSettings):
    """The settings of a process that works on the access database."""

    access_database_url: SecretStr | None = Field(
        None,
        validation_alias="ACCESS_DATABASE_URL",
        description="database of API keys, teams, projects, users and limits, with `AUTH_MODE=required`:"
        " `sqlite:///path` or `postgresql://user:password@host/database`; the same for all replicas of the gateway",
        json_schema_extra={
            "default": "`access.db` in `GENAI_DATA_DIR`",
            "example": "postgresql://user:password@localhost/access",
        },
    )
    access_max_key_days: int = Field(
        365,
        ge=1,
        le=3650,
        validation_alias="ACCESS_MAX_KEY_DAYS",
        description="days after which an API key expires at the latest",
    )
    access_max_staleness: float = Field(
        3600.0,
        ge=1,
        validation_alias="ACCESS_MAX_STALENESS",
        description="seconds for which keys are accepted while the access database is away; revocations do not arrive"
        " meanwhile",
    )

    audit_retention_days: int = Field(
        400,
        ge=0,
        le=36500,
        validation_alias="AUDIT_RETENTION_DAYS",
        description="days for which the events of the audit log are kept, 0 for good; the log says how many were"
        " deleted, and can be verified without them",
    )

    auth_issuers: Path | None = Field(
        None,
        validation_alias="AUTH_ISSUERS",
        description="JSON file of OIDC issuers whose tokens are accepted beside API keys: a list of objects with"
        " `issuer`, `audience` and, unless they are its own, `jwks_uri` or `discovery`, `algorithms`, and `claims` (the"
        " paths of `subject`, `project`, `scopes` and `models`)",
        json_schema_extra={"example": "/etc/genai/issuers.json"},
    )

    def choose_access_database_url(self) -> str:
        if self.access_database_url:
            return self.access_database_url.get_secret_value()
        # Here, because a gateway without keys does not need the storage, whose import takes a good part of a start.
        from services.shared.database import sqlite_url

        return sqlite_url(self.data_path(), "access")
