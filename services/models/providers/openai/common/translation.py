"""One request on its way into Chat Completions: where it goes, and what its caller must be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.openai.common.traits import Traits
from services.shared.errors import FieldViolation, InvalidRequest


@dataclass(slots=True)
class Translation:
    """Gathers what was changed and what cannot be said, each under the path of its field as the caller counts."""

    request: models_pb2.ChatRequest
    target: Target
    traits: Traits
    notices: list[models_pb2.Notice] = field(default_factory=list)
    violations: list[FieldViolation] = field(default_factory=list)

    @property
    def adapts(self) -> bool:
        """Whether what the model is known not to take is changed, rather than sent for the provider to judge."""
        return self.request.parameter_policy != models_pb2.PARAMETER_POLICY_PASSTHROUGH

    def role_of(self, message: models_pb2.ChatMessage) -> str:
        """The message's role, as far as the model knows it."""
        if message.role == "developer" and not self.target.facts.developer_role:
            return "system"
        return message.role

    def tell(self, code: str, path: str, message: str) -> None:
        self.notices.append(models_pb2.Notice(code=code, field=path, message=message))

    def tell_dropped(self, path: str, message: str) -> None:
        self.tell("PARAMETER_DROPPED", path, message)

    def tell_changed(self, path: str, message: str) -> None:
        self.tell("PARAMETER_CHANGED", path, message)

    def refuse(self, path: str, problem: str) -> None:
        self.violations.append(FieldViolation(path, problem))

    def raise_refusals(self) -> None:
        """Raises InvalidRequest naming every field that was refused, if any was."""
        if self.violations:
            first, more = self.violations[0], len(self.violations) - 1
            suffix = f" (and {more} more)" if more else ""
            raise InvalidRequest(f"{first.field}: {first.description}{suffix}", violations=self.violations)
