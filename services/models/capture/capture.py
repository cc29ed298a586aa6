"""The capture of chats: decides at the end of each whether its content is kept."""

from __future__ import annotations

from collections.abc import Sequence

from proto import models_pb2
from services.models.capture import transcripts
from services.models.capture.captured_content import Captured, CapturedContent
from services.models.capture.policy import CapturePolicy, choose_policy
from services.shared.call import Call


class Capture:
    """The capture of all chats, by the policy of the operator or of the project."""

    def __init__(self, content: CapturedContent | None, default: CapturePolicy) -> None:
        """Without `content` nothing is ever kept."""
        self._content = content
        self._default = default

    def may_keep(self, call: Call) -> bool:
        """Whether the content of a call may be kept at its end."""
        return self._content is not None and self._policy_of(call).kind != "off"

    def _policy_of(self, call: Call) -> CapturePolicy:
        of_project = call.identity.capture if call.identity else ""
        if not of_project and self._default.kind == "off":
            return self._default
        return choose_policy(self._default, of_project, call.metadata)

    def end(
        self, call: Call, messages: Sequence[models_pb2.ChatMessage], answer: models_pb2.ChatResponse | None
    ) -> None:
        """Keeps the content of a chat that has ended, with its answer if there is a whole one, if it is to be kept."""
        if self._content is None:
            return
        if not self._policy_of(call).keeps(failed=answer is None):
            return
        said = transcripts.of_answer(answer) if answer else None
        model = str(call.log_fields.get("model", ""))
        asked = transcripts.of_conversation(messages)
        self._content.keep(Captured(call.call_id, call.project_id, model, asked, said))
