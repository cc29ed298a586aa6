"""The Model Service's settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from services.shared.database import sqlite_url
from services.shared.settings import ServiceSettings


class ModelsSettings(ServiceSettings):
    """What the Model Service reads beside what every process reads."""

    port: int = Field(50053, ge=0, le=65535, validation_alias="MODELS_PORT")
    database_url: SecretStr | None = Field(None, validation_alias="MODELS_DATABASE_URL")
    retired_policy: Literal["replace", "reject"] = Field("replace", validation_alias="MODELS_RETIRED_POLICY")
    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str = Field("https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL")
    openai_organization: str = Field("", validation_alias="OPENAI_ORG_ID")
    openai_project: str = Field("", validation_alias="OPENAI_PROJECT_ID")
    anthropic_api_key: SecretStr | None = Field(None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str = Field("https://api.anthropic.com", validation_alias="ANTHROPIC_BASE_URL")

    def choose_database_url(self) -> str:
        if self.database_url:
            return self.database_url.get_secret_value()
        return sqlite_url(self.data_path(), "models")
