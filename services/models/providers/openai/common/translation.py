"""Translation of one request into one of OpenAI's dialects."""

from __future__ import annotations

from dataclasses import dataclass

from proto import models_pb2
from services.models.providers.openai.common.traits import Traits
from services.models.providers.requests.translation import Translation

BETA_HEADER = "openai-beta"
"""Names what a request uses before it is in the API for all."""


@dataclass(slots=True)
class OpenAITranslation(Translation):
    """Knows the kind of server beside the request."""

    traits: Traits

    def role_of(self, message: models_pb2.ChatMessage) -> str:
        """The message's role, as far as the model knows it."""
        if message.role == "developer" and not self.target.facts.developer_role:
            return "system"
        return message.role
