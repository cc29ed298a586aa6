"""The face of OpenAI's Embeddings, which are forwarded to servers that speak the same dialect, and never translated."""

from __future__ import annotations

from services.models.faces import openai_errors
from services.models.faces.base import Asked, Refusal
from services.shared.errors import InvalidRequest, PlatformError


class EmbeddingsFace:
    """Embeddings."""

    name = "embeddings"

    def read(self, body: bytes, model: str = "") -> Asked:
        """Raises InvalidRequest: what cannot be forwarded is a mistake, or for a model without embeddings."""
        raise InvalidRequest(
            "embeddings need `model` and `input`, without the platform's own fields, and a model at a server that"
            " speaks OpenAI's dialect",
            reason="MODEL_KIND_UNSUPPORTED",
        )

    def refusal(self, error: PlatformError, request_id: str, asked: Asked | None = None) -> Refusal:
        """The refusal of a request, in OpenAI's words."""
        return openai_errors.refusal(error, asked)


EMBEDDINGS = EmbeddingsFace()
