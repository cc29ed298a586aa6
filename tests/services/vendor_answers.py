"""What either vendor answers in any of its dialects, OpenAI's Responses too."""

from __future__ import annotations

from tests.scripted_upstream import Received, Script, event_stream, json_answer
from tests.services.model_service import answered
from tests.wire.dialects import Sample
from tests.wire.speeches.responses import ResponsesSpeech

HI = Sample(text=["Hi."])


def answered_in_any_dialect(request: Received) -> Script:
    """`Hi.`, whatever was asked, in the dialect in which it was asked."""
    if not request.path.endswith("/responses"):
        return answered(request)
    speech = ResponsesSpeech()
    return event_stream(*speech.events(HI)) if request.json().get("stream") else json_answer(speech.body(HI))
