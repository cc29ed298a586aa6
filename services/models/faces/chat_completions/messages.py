"""Messages of Chat Completions → ChatMessages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from proto import models_pb2
from services.models.faces.chat_completions import body
from services.models.faces.chat_completions.cache_marks import mark_end
from services.models.faces.chat_completions.kept_state import Placed, entries_in, part_of, place_parts
from services.models.faces.chat_completions.media import MEDIA_MEMBERS, read_media
from services.models.faces.shapes import Problems, begins_with, has_more_objects, is_given
from services.models.validation.limits import MAX_MESSAGES, MAX_PARTS_IN_ALL

MAX_OBJECTS = 4 * (MAX_MESSAGES + MAX_PARTS_IN_ALL)
"""Objects in the largest conversation: a message or part, and what is within it."""

_messages = msgspec.json.Decoder(list[body.Message])
_text = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()


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
        role = "tool" if given.role == "function" else given.role
        message = self._request.messages.add(role=role, name=given.name or "")
        if role == "tool":
            message.tool_call_id = given.tool_call_id or self._function_ids.get(given.name or "", "")
        elif given.tool_call_id:
            message.tool_call_id = given.tool_call_id
        if role == "assistant":
            self.places.append(self._read_answer(given, message, path))
        elif isinstance(given.content, str) and given.cache_control is None:
            message.content = given.content
            self.places.append(())
        else:
            self._read_calls(given, message, path)
            self.places.append(self._add(message, list(self._content(given, path)), given, path))

    def _add(
        self, message: models_pb2.ChatMessage, placed: Sequence[Placed], given: body.Message, path: str
    ) -> Sequence[str]:
        """Adds parts to a message, and returns their paths in it. A mark of the whole message is that of its last part,
        as Open WebUI means it."""
        message.parts.extend([part for part, _ in placed])
        if given.cache_control is not None and message.parts:
            mark_end(message.parts[-1], given.cache_control, f"{path}.cache_control", self._problems)
        return [place for _, place in placed]

    # ----------------------------------------------------------------------------------------------- content

    def _content(self, given: body.Message, path: str) -> Iterator[Placed]:
        if isinstance(given.content, str):
            yield Placed(models_pb2.ContentPart(text=given.content), "content")
            return
        for index, entry in enumerate(given.content or ()):
            place = f"content[{index}]"
            part = self._part(entry, f"{path}.{place}")
            if part is None:
                continue
            for member in ("prompt_cache_breakpoint", "cache_control"):
                if (mark := getattr(entry, member)) is not None:
                    mark_end(part, mark, f"{path}.{place}.{member}", self._problems)
            yield Placed(part, f"{place}.{entry.type}" if entry.type in MEDIA_MEMBERS else place)

    def _part(self, entry: body.Part, path: str) -> models_pb2.ContentPart | None:
        if entry.type in ("text", "input_text", "output_text"):
            return models_pb2.ContentPart(text=self._required(entry.text, f"{path}.text"))
        if entry.type in MEDIA_MEMBERS:
            media = read_media(entry, f"{path}.{entry.type}", self._problems)
            return models_pb2.ContentPart(media=media) if media else None
        if entry.type == "refusal":
            return models_pb2.ContentPart(refusal=self._required(entry.refusal, f"{path}.refusal"))
        if entry.type == "thinking":
            return part_of("reasoning", _thought(entry.thinking))
        known = ", ".join(["text", "refusal", *sorted(MEDIA_MEMBERS)])
        self._problems.add(f"{path}.type", f"must be one of {known}")
        return None

    def _required(self, text: str | None, path: str) -> str:
        if text is None:
            self._problems.add(path, "is required")
        return text or ""

    # ----------------------------------------------------------------------------------------------- answers

    def _read_answer(self, given: body.Message, message: models_pb2.ChatMessage, path: str) -> Sequence[str]:
        """Reads an assistant's message, in the short form if that can hold it."""
        if is_given(given.audio):
            problem = "is an answer that is stored at OpenAI, and not sent with its id; send its transcript as content"
            self._problems.refuse(f"{path}.audio", problem)
        self._read_calls(given, message, path)
        reasoning = self._reasoning(given)
        is_short = isinstance(given.content, str | None) and not (given.refusal or reasoning or given.cache_control)
        entries = entries_in(given.reasoning_details) if is_given(given.reasoning_details) else ()
        if is_short and not entries:
            message.content = given.content or "" if isinstance(given.content, str) else ""
            return ()
        calls = [
            Placed(models_pb2.ContentPart(tool_call=call), f"tool_calls[{place}]")
            for place, call in enumerate(message.tool_calls)
        ]
        del message.tool_calls[:]
        told = {"reasoning": reasoning} if reasoning else {}
        content = list(self._content(given, path)) if given.content else []
        if entries and len(content) == 1 and content[0].part.HasField("text"):
            told["text"] = content.pop()
        if given.refusal:
            told["refusal"] = Placed(models_pb2.ContentPart(refusal=given.refusal), "refusal")
        if entries:
            placed = [*content, *place_parts(entries, told, calls)]
        else:
            before = [told["reasoning"]] if reasoning else []
            behind = [told["refusal"]] if given.refusal else []
            placed = [*before, *content, *behind, *calls]
        return self._add(message, placed, given, path)

    def _reasoning(self, given: body.Message) -> Placed | None:
        """The reasoning, which has several names; one that is no text is a server's own."""
        for name in ("reasoning_content", "reasoning", "reasoning_text"):
            value: msgspec.Raw = getattr(given, name)
            if begins_with(value, b'"') and (text := _text.decode(value)):
                return Placed(part_of("reasoning", text), name)
        return None

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
    """The text of a thought: a text, or a list of parts as Mistral's models write it."""
    thought = _any.decode(value) if is_given(value) else ""
    if isinstance(thought, str):
        return thought
    parts = thought if isinstance(thought, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
