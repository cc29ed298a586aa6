"""The end of a chat: its answer is appended to the session, completed, and logged."""

from __future__ import annotations

from proto import models_pb2
from services.models.chat.system_prompt import Prompted
from services.models.providers.base import Conversation, Target
from services.models.providers.call_record import describe_call, duration, log_usage
from services.models.sessions.turn import Turn
from services.shared.rpc import Call


class RunningChat:
    """A chat from its exchange to its end."""

    def __init__(self, prompted: Prompted, target: Target, turn: Turn, call: Call) -> None:
        self.target = target
        self._prompted = prompted
        self._turn = turn
        self._call = call
        self._first_output_seconds: float | None = None

    @property
    def conversation(self) -> Conversation:
        """The conversation that is sent, with the session's history."""
        return self._turn.conversation

    def note_output(self) -> None:
        """Records the time of a stream's first chunk; call it for each chunk."""
        if self._first_output_seconds is None:
            self._first_output_seconds = self._call.elapsed_seconds()

    async def complete(self, response: models_pb2.ChatResponse) -> None:
        """Appends a complete answer to its session, sets the service's own fields in it, and logs the usage."""
        await self._turn.complete(response)
        self._describe(response)
        self._call.log_fields["finish_reason"] = response.finish_reason
        log_usage(self._call, response.usage)

    def _describe(self, response: models_pb2.ChatResponse) -> None:
        describe_call(response, "chat", self.target, self._call)
        if self._prompted.prompt:
            response.prompt.CopyFrom(self._prompted.prompt)
            response.warnings.extend(self._prompted.warnings)
        if self._first_output_seconds is not None:
            response.timing.first_token.CopyFrom(duration(self._first_output_seconds))
            self._call.log_fields["first_token_ms"] = round(self._first_output_seconds * 1000, 3)
