"""Members beyond the protocol that go back to a server with an assistant's message."""

from __future__ import annotations

from typing import Any, NamedTuple

from proto import models_pb2
from services.models.providers.openai.common.opaque_items import is_represented_by_part, owned_item
from services.models.providers.openai.common.translation import OpenAITranslation
from services.models.providers.requests.provider_state import refuse_forged_state
from services.models.providers.state.container_state import container_in
from services.models.providers.state.member_state import KeptMembers, is_wrapped, members_in
from services.models.providers.state.opaque_state import is_made_by


class Call(NamedTuple):
    """A call, with the kept members that its server wants back."""

    said: models_pb2.ToolCall
    kept: KeptMembers | None = None


class Returned:
    """The members of one message. Losses of its parts have notices."""

    def __init__(self, translation: OpenAITranslation) -> None:
        self._translation = translation
        self._members: dict[str, Any] = {}
        self._reasoning: dict[str, list[str]] = {}
        self.thoughts: list[Any] = []
        """The thoughts in the content before its text."""

    def take(self, path: str, part: models_pb2.ContentPart) -> KeptMembers | None:
        """Reads the members that go back with the part at `path`, and returns those of the part's call."""
        kept = self._own_members(path, part)
        if kept is not None:
            self._members.update(kept.message)
            self.thoughts += kept.thoughts
        names = kept.reasoning if kept else []
        wanted = self._translation.target.facts.returned_reasoning
        if wanted and part.reasoning.text and not part.HasField("provider_state"):
            # Reasoning is not secret.
            names = [wanted]
        for name in names:
            self._reasoning.setdefault(name, []).append(part.reasoning.text)
        if not kept and not names:
            self._warn_of_loss(path, part)
        return kept

    def members(self) -> dict[str, Any]:
        """All that goes back as members of the message itself."""
        return self._members | {name: "".join(texts) for name, texts in self._reasoning.items()}

    def _own_members(self, path: str, part: models_pb2.ContentPart) -> KeptMembers | None:
        """The members that this server attached to a part. Forged ones are refused; in a session's history they are
        left out."""
        if not is_wrapped(part) or not is_made_by(self._translation.target.state_owner, part):
            return None
        kept = members_in(part)
        if kept is None:
            refuse_forged_state(path, self._translation)
        return kept

    def _warn_of_loss(self, path: str, part: models_pb2.ContentPart) -> None:
        """Adds a notice of the loss: a part of reasoning is left out, any other part loses its state."""
        if part.HasField("reasoning"):
            problem = "only the server that it came from takes this reasoning back; this part was not sent"
            self._translation.warn("REASONING_DROPPED", path, problem)
        elif part.HasField("provider_state") and not self._says_no_more(part):
            lost = "the part was sent without its state" if part.WhichOneof("kind") else "the part holds nothing else"
            problem = f"only the provider that made it takes back this part's state; {lost}"
            self._translation.warn("PROVIDER_STATE_DROPPED", path, problem)

    def _says_no_more(self, part: models_pb2.ContentPart) -> bool:
        """True if a part's state adds nothing to the conversation."""
        return container_in(part) is not None or is_represented_by_part(owned_item(part, self._translation.target))
