"""Messages of Chat Completions → ChatMessages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from proto import models_pb2
from services.models.faces.chat_completions import body
from services.models.faces.chat_completions.cache_marks import mark_end
from services.models.faces.chat_completions.kept_state import Entry, Placed, entries_in, place_parts
from services.models.faces.chat_completions.media import MEDIA_MEMBERS, read_media
from services.models.faces.shapes import ABSENT, Problems, begins_with, has_more_objects, is_given
from services.models.providers.state.member_state import REASONING_NAMES
from services.models.validation.limits import MAX_MESSAGES, MAX_PARTS_IN_ALL

MAX_OBJECTS = 4 * (MAX_MESSAGES + MAX_PARTS_IN_ALL)
"""Objects in the largest conversation: a message or part, and what is within it."""

TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
"""The types of parts with a text; the last two are those of Responses."""
KNOWN_TYPES = ", ".join(["text", "refusal", *sorted(MEDIA_MEMBERS)])

_messages = msgspec.json.Decoder(list[body.Message])
_text = msgspec.json.Decoder(str)
_thoughts = msgspec.json.Decoder(str | list[body.Thought])


class MessageReader:
    """Reads the messages of one body into its request."""

    def __init__(self, problems: Problems, request: models_pb2.ChatRequest) -> None:
        self._problems = problems
        self._request = request
        self.places: list[Sequence[str]] = []
        """For each message the paths of its parts within it, as far as it has parts."""
        self._function_ids: dict[str, str] = {}
        """The id of the newest call of each function in the form before `tool_calls`."""

    def read(self, messages: bytes) -> None:
        """Adds all messages to the request."""
        if has_more_objects(messages, MAX_OBJECTS):
            problem = f"hold more than {MAX_MESSAGES} messages, or {MAX_PARTS_IN_ALL} parts and tool calls together"
            self._problems.add("messages", problem)
            return
        given = self._problems.read(messages, _messages, "messages")
        for index, message in enumerate(given or ()):
            self._read(message, f"messages[{index}]")

    def _read(self, given: body.Message, path: str) -> None:
        message = self._request.messages.add(role=given.role)
        if given.name:
            message.name = given.name
        if given.role == "assistant":
            self.places.append(self._read_answer(given, message, path))
            return
        if given.role == "function":
            message.role = "tool"
            message.tool_call_id = self._function_ids.get(given.name or "", "")
        if given.tool_call_id:
            message.tool_call_id = given.tool_call_id
        if given.tool_calls or given.function_call:
            self._read_calls(given, message, path)
        if isinstance(given.content, str) and given.cache_control is None:
            message.content = given.content
            self.places.append(())
        else:
            self.places.append(self._read_content(given, message, path))

    # ----------------------------------------------------------------------------------------------- content

    def _read_content(self, given: body.Message, message: models_pb2.ChatMessage, path: str) -> Sequence[str]:
        """Adds the content to the parts of a message, and returns their paths in it. Open WebUI marks whole messages,
        which marks their last parts."""
        places = ["content"]
        if isinstance(given.content, str):
            message.parts.add(text=given.content)
        else:
            places = [
                self._read_part(entry, message, f"{path}.", f"content[{index}]")
                for index, entry in enumerate(given.content or ())
            ]
        if given.cache_control is not None and message.parts:
            mark_end(message.parts[-1], given.cache_control, f"{path}.cache_control", self._problems)
        return places

    def _read_part(self, entry: body.Part, message: models_pb2.ChatMessage, before: str, place: str) -> str:
        """Adds a part, and returns its path in the message."""
        kind, path = entry.type, f"{before}{place}"
        if kind in TEXT_TYPES:
            part = message.parts.add(text=self._required(entry.text, path, "text"))
        elif kind in MEDIA_MEMBERS:
            part = message.parts.add()
            place = f"{place}.{kind}"
            read_media(entry, part.media, f"{path}.{kind}", self._problems)
        elif kind == "refusal":
            part = message.parts.add(refusal=self._required(entry.refusal, path, "refusal"))
        elif kind == "thinking":
            part = message.parts.add(reasoning=models_pb2.Reasoning(text=_thought(entry.thinking)))
        else:
            self._problems.add(
                f"{path}.type", f"must be one of {', '.join(['text', 'refusal', *sorted(MEDIA_MEMBERS)])}"
            )
            return place
        if entry.cache_control is not None:
            mark_end(part, entry.cache_control, f"{path}.cache_control", self._problems)
        elif entry.prompt_cache_breakpoint is not None:
            mark_end(part, entry.prompt_cache_breakpoint, f"{path}.prompt_cache_breakpoint", self._problems)
        return place

    def _required(self, text: str | None, path: str, member: str) -> str:
        if text is None:
            self._problems.add(f"{path}.{member}", "is required")
        return text or ""

    # ----------------------------------------------------------------------------------------------- answers

    def _read_answer(self, given: body.Message, message: models_pb2.ChatMessage, path: str) -> Sequence[str]:
        """Reads an assistant's message, in the short form if that can hold it, and returns the paths of its parts."""
        if given.audio is not ABSENT and is_given(given.audio):
            problem = "is an answer that is stored at OpenAI, and not sent with its id; send its transcript as content"
            self._problems.refuse(f"{path}.audio", problem)
        if given.tool_calls or given.function_call:
            self._read_calls(given, message, path)
        reasoning = self._reasoning(given)
        entries = () if given.reasoning_details is ABSENT else entries_in(given.reasoning_details)
        is_text = given.content is None or isinstance(given.content, str)
        if is_text and not (given.refusal or reasoning or given.cache_control or entries):
            message.content = given.content or ""  # type: ignore[assignment]
            return ()
        placed = list(self._placed(given, message, path, reasoning, entries))
        del message.tool_calls[:]
        message.parts.extend([part for part, _ in placed])
        return [place for _, place in placed]

    def _placed(
        self,
        given: body.Message,
        message: models_pb2.ChatMessage,
        path: str,
        reasoning: str,
        entries: Sequence[Entry],
    ) -> Iterator[Placed]:
        """The parts of an answer in their order, as its details tell it, or else as a server of Chat Completions would
        send them."""
        scratch = models_pb2.ChatMessage()
        places = self._read_content(given, scratch, path) if given.content else ()
        content = list(map(Placed, scratch.parts, places))
        told: dict[str, Placed] = {}
        if reasoning:
            part = models_pb2.ContentPart(reasoning=models_pb2.Reasoning(text=_text.decode(getattr(given, reasoning))))
            told["reasoning"] = Placed(part, reasoning)
        if given.refusal:
            told["refusal"] = Placed(models_pb2.ContentPart(refusal=given.refusal), "refusal")
        calls = [
            Placed(models_pb2.ContentPart(tool_call=call), f"tool_calls[{index}]")
            for index, call in enumerate(message.tool_calls)
        ]
        if entries:
            if len(content) == 1 and content[0].part.HasField("text"):
                told["text"] = content.pop()
            yield from content
            yield from place_parts(entries, told, calls)
            return
        if reasoning:
            yield told["reasoning"]
        yield from content
        if given.refusal:
            yield told["refusal"]
        yield from calls

    def _reasoning(self, given: body.Message) -> str:
        """The member with the text of the reasoning, which has several names; "" without one. One that is no text is a
        server's own."""
        for name in REASONING_NAMES:
            value: msgspec.Raw = getattr(given, name)
            if value is not ABSENT and begins_with(value, b'"') and len(value) > 2:
                return name
        return ""

    def _read_calls(self, given: body.Message, message: models_pb2.ChatMessage, path: str) -> None:
        for index, call in enumerate(given.tool_calls or ()):
            here = f"{path}.tool_calls[{index}]"
            if call.custom is not None:
                message.tool_calls.add(id=call.id or "", name=call.custom.name, arguments_json=call.custom.input)
            elif call.function is not None:
                arguments = self._arguments(call.function, f"{here}.function.arguments")
                message.tool_calls.add(id=call.id or "", name=call.function.name, arguments_json=arguments)
            else:
                self._problems.add(f"{here}.function", "is required")
        if (called := given.function_call) is not None:
            call_id = f"call_{len(self._request.messages)}"
            self._function_ids[called.name] = call_id
            arguments = self._arguments(called, f"{path}.function_call.arguments")
            message.tool_calls.add(id=call_id, name=called.name, arguments_json=arguments)

    def _arguments(self, called: body.Function, path: str) -> str:
        """The arguments as the model has written them, or as the object that a client has made of them."""
        if begins_with(called.arguments, b'"'):
            return _text.decode(called.arguments)
        if begins_with(called.arguments, b"{"):
            return bytes(called.arguments).decode()
        if is_given(called.arguments):
            self._problems.add(path, "must be a string of JSON")
        return ""


def _thought(value: msgspec.Raw) -> str:
    """The text of a thought: a text, or a list of parts as Mistral's models write it; "" for anything else."""
    try:
        thought = _thoughts.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return thought if isinstance(thought, str) else "".join([piece.text or "" for piece in thought])
