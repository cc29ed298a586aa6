"""Translation of one request into a dialect: its notices for the caller, and its refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proto import models_pb2
from services.models.providers.base import Target
from services.models.providers.notices import Notices, changed, dropped, notice
from services.models.validation.extra_body import options_field, reserved_members_in
from services.shared.errors import FieldViolation, InvalidRequest


@dataclass(slots=True)
class Translation:
    """Gathers notices and refusals, each under the path of its field as the caller counts.

    After a refusal the dialect continues with any substitute, so that the caller learns of all problems at once;
    `raise_refusals` is called before anything is sent.
    """

    request: models_pb2.ChatRequest
    target: Target
    notices: Notices = field(default_factory=list, init=False)
    violations: list[FieldViolation] = field(default_factory=list, init=False)
    options_json: str = field(init=False)
    """The request's own options for this provider, a JSON object; empty without any."""

    def __post_init__(self) -> None:
        self.options_json = self.request.provider_options_json.get(self.target.dialect.name, "")

    @property
    def adapts(self) -> bool:
        """Whether content is adapted to the known facts of the model; otherwise the provider decides about it."""
        return self.request.parameter_policy != models_pb2.PARAMETER_POLICY_PASSTHROUGH

    def headers(self, name: str) -> Mapping[str, str]:
        """The header field of this name that the request has for the provider, if it has it."""
        value = self.request.provider_headers.get(name)
        return {name: value} if value else {}

    @property
    def options_field(self) -> str:
        """The path of these options."""
        return options_field(self.target.dialect.name)

    def warn(self, code: str, path: str, message: str) -> None:
        """Adds a notice."""
        self.notices.append(notice(code, path, message))

    def warn_dropped(self, path: str, message: str) -> None:
        """Adds a notice that the field was not sent."""
        self.notices.append(dropped(path, message))

    def warn_changed(self, path: str, message: str) -> None:
        """Adds a notice that the field was sent in another form."""
        self.notices.append(changed(path, message))

    def refuse(self, path: str, problem: str) -> None:
        """Adds a refusal: nothing is sent."""
        self.violations.append(FieldViolation(path, problem))

    def raise_refusals(self) -> None:
        """Raises InvalidRequest naming every field that was refused, if any was; options with reserved members are."""
        self._refuse_reserved_options()
        if self.violations:
            first, more = self.violations[0], len(self.violations) - 1
            suffix = f" (and {more} more)" if more else ""
            raise InvalidRequest(f"{first.field}: {first.description}{suffix}", violations=self.violations)

    def _refuse_reserved_options(self) -> None:
        if not self.options_json:
            return
        reserved = reserved_members_in(self.options_json, self.target.dialect.reserved_members)
        if reserved:
            self.refuse(self.options_field, f"must not set {', '.join(reserved)}: the request itself says them")
