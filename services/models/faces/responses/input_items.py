"""The items of a request's input → messages. https://platform.openai.com/docs/api-reference/responses/create

Items of the model that follow each other are one message of the assistant's. An item that OpenAI wants back as it was
is kept as its state, as in an answer of OpenAI's: reasoning, what its own tools made, calls of custom tools and of
tools in namespaces, and what came after reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from proto import models_pb2
from services.models.faces.responses.content import ContentReader, PlacedPart
from services.models.faces.responses.ids import MARK, is_ours
from services.models.faces.responses.tools import ToolReader
from services.models.faces.shapes import ABSENT, Problems, has_more_objects, is_given
from services.models.faces.state_envelope import Bond, bond_of, open_envelope
from services.models.providers.lowered_tools import lowered_name
from services.models.providers.openai.common.opaque_items import (
    call_carries_more,
    is_answer_item,
    message_carries_more,
)
from services.models.validation.limits import MAX_PARTS_IN_ALL
from services.shared import json_text

OWNER = "openai"
"""The owner of the items that OpenAI makes."""

ROLES = frozenset({"system", "developer", "user", "assistant"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Calls of the caller's tools, each with the member that holds what the tool gets."""

PRIVATE = "internal_chat_message_metadata_passthrough"
"""A member that Codex writes for its own use."""

MAX_ITEMS = MAX_PARTS_IN_ALL
MAX_OBJECTS = 4 * MAX_ITEMS
"""Objects in all items: an item has parts, and those have some of their own."""

NOT_KEPT = "needs a store of earlier answers, and nothing is stored here; send the item itself (with store: false)"
NO_PLACE = "has no place here: only OpenAI itself takes such an item"


class MessagePlace(NamedTuple):
    """The place of a message in the body."""

    path: str
    parts: Sequence[str] = ()
    """The path of each part."""


class _Head(msgspec.Struct):
    type: str | None = None
    role: str | None = None


class _Message(msgspec.Struct):
    content: msgspec.Raw = ABSENT
    id: str | None = None


class _Call(msgspec.Struct):
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class _Output(msgspec.Struct):
    call_id: str | None = None
    output: msgspec.Raw = ABSENT


class _Text(msgspec.Struct):
    text: str | None = None


class _Reasoning(msgspec.Struct):
    summary: list[_Text] | None = None
    content: list[_Text] | None = None
    encrypted_content: str | None = None


class _MoreTools(msgspec.Struct):
    tools: msgspec.Raw = ABSENT


_CALL = msgspec.json.Decoder(_Call)
_HEADS = msgspec.json.Decoder(list[_Head])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(_Message)
_MORE_TOOLS = msgspec.json.Decoder(_MoreTools)
_OUTPUT = msgspec.json.Decoder(_Output)
_REASONING = msgspec.json.Decoder(_Reasoning)


class InputReader:
    """Reads the input of one body. `tools` takes the tools that are among the items."""

    def __init__(self, problems: Problems, tools: ToolReader) -> None:
        self.messages: list[models_pb2.ChatMessage] = []
        self.places: list[MessagePlace] = []
        self._problems = problems
        self._tools = tools
        self._content = ContentReader(problems)
        self._answer: list[PlacedPart] = []
        """The parts of the assistant's message that is being read."""
        self._calls: dict[str, models_pb2.ContentPart] = {}
        self._newest_said: models_pb2.ContentPart | None = None
        """Its calls by their ids, and its newest text."""
        self._keeps_all = False
        """Whether the items of that message are all kept as they are, because they follow reasoning of OpenAI's."""

    def add_text(self, role: str, text: str, path: str) -> None:
        """Adds a message of one text."""
        self._add(models_pb2.ChatMessage(role=role, content=text), MessagePlace(path))

    def read(self, raw: msgspec.Raw, path: str) -> None:
        """Adds the items of the list at `path`."""
        if has_more_objects(bytes(raw), MAX_OBJECTS):
            self._problems.add(path, f"holds more than {MAX_ITEMS} items, or as many parts")
            return
        # First as objects: a list of as many numbers would take gigabytes.
        heads = self._problems.read(raw, _HEADS, path)
        if heads is None:
            return
        for index, (head, item) in enumerate(zip(heads, _ITEMS.decode(raw), strict=True)):
            self._read_item(head, item, f"{path}[{index}]")
        self._end_answer()

    def _read_item(self, head: _Head, raw: msgspec.Raw, path: str) -> None:
        kind = head.type or ("message" if head.role else "")
        if kind == "message":
            self._read_message(raw, head.role or "", path)
        elif kind == "reasoning":
            self._read_reasoning(raw, path)
        elif kind in CALLS:
            self._read_call(raw, kind, path)
        elif kind in OUTPUTS:
            self._read_output(raw, path)
        elif kind == "additional_tools":
            self._read_tools(raw, path)
        elif kind == "item_reference":
            self._problems.refuse(f"{path}.type", NOT_KEPT)
        elif is_answer_item(bytes(raw)):
            self._keep(models_pb2.ContentPart(), raw, path)
            self._keeps_all = True
        elif kind:
            self._problems.refuse(f"{path}.type", NO_PLACE)
        else:
            self._problems.add(f"{path}.type", "is required")

    # ------------------------------------------------------------------------------------------------- messages

    def _read_message(self, raw: msgspec.Raw, role: str, path: str) -> None:
        message = self._problems.read(raw, _MESSAGE, path)
        if message is None:
            return
        if role not in ROLES:
            self._problems.add(f"{path}.role", "must be user, assistant, system or developer")
            return
        if not is_given(message.content):
            self._problems.add(f"{path}.content", "is required")
            return
        content = self._content.read(message.content, f"{path}.content")
        if role == "assistant":
            self._add_spoken(content, raw, path)
        elif isinstance(content, str):
            self._end_answer()
            self.add_text(role, content, f"{path}.content")
        else:
            self._end_answer()
            place = MessagePlace(f"{path}.content", [part.path for part in content])
            self._add(models_pb2.ChatMessage(role=role, parts=[part.part for part in content]), place)

    def _add_spoken(self, content: str | list[PlacedPart], raw: msgspec.Raw, path: str) -> None:
        if isinstance(content, str):
            content = [PlacedPart(models_pb2.ContentPart(text=content), f"{path}.content")]
        if self._keeps_all or message_carries_more(_members(raw)):
            for part, here in _joined(content, f"{path}.content"):
                self._keep(part, raw, here)
                self._newest_said = part
        elif content:
            self._answer.extend(content)
            self._newest_said = content[-1].part

    # ---------------------------------------------------------------------------------------------------- calls

    def _read_call(self, raw: msgspec.Raw, kind: str, path: str) -> None:
        call = self._problems.read(raw, _CALL, path)
        if call is None:
            return
        member = CALLS[kind]
        given = call.arguments if member == "arguments" else call.input
        for name, value in (("call_id", call.call_id), ("name", call.name)):
            if not value:
                self._problems.add(f"{path}.{name}", "is required")
        if given is None:
            self._problems.add(f"{path}.{member}", "is required")
        name = call.name or ""
        part = models_pb2.ContentPart()
        part.tool_call.id = call.call_id or ""
        part.tool_call.name = lowered_name(call.namespace, name) if call.namespace else name
        part.tool_call.arguments_json = given or ""
        if self._keeps_all or kind != "function_call" or call_carries_more(_members(raw)):
            self._keep(part, raw, path)
        else:
            self._answer.append(PlacedPart(part, path))
        self._calls[part.tool_call.id] = part

    def _read_output(self, raw: msgspec.Raw, path: str) -> None:
        result = self._problems.read(raw, _OUTPUT, path)
        if result is None:
            return
        if not result.call_id:
            self._problems.add(f"{path}.call_id", "is required")
        if not is_given(result.output):
            self._problems.add(f"{path}.output", "is required")
            return
        self._end_answer()
        content = self._content.read(result.output, f"{path}.output")
        message = models_pb2.ChatMessage(role="tool", tool_call_id=result.call_id or "")
        if isinstance(content, str):
            message.content = content
            self._add(message, MessagePlace(f"{path}.output"))
            return
        message.parts.extend(part.part for part in content)
        self._add(message, MessagePlace(f"{path}.output", [part.path for part in content]))

    def _read_tools(self, raw: msgspec.Raw, path: str) -> None:
        more = self._problems.read(raw, _MORE_TOOLS, path)
        if more and is_given(more.tools):
            self._tools.read(more.tools, f"{path}.tools")

    # ------------------------------------------------------------------------------------------------ reasoning

    def _read_reasoning(self, raw: msgspec.Raw, path: str) -> None:
        reasoning = self._problems.read(raw, _REASONING, path)
        if reasoning is None:
            return
        texts = [text.text or "" for text in (*(reasoning.summary or ()), *(reasoning.content or ()))]
        part = models_pb2.ContentPart()
        part.reasoning.text = "\n\n".join(filter(None, texts))
        sealed = reasoning.encrypted_content or ""
        bond = bond_of(sealed)
        if bond:
            self._add_sealed(part, bond, sealed, path)
        elif sealed:
            part.reasoning.redacted = not part.reasoning.text
            self._keep(part, raw, path)
            self._keeps_all = True
        elif part.reasoning.text:
            self._answer.append(PlacedPart(part, path))

    def _add_sealed(self, part: models_pb2.ContentPart, bond: Bond, sealed: str, path: str) -> None:
        """Adds state of another provider to the part that it is of."""
        envelope, _, call_id = _split(sealed)
        state = open_envelope(envelope)
        if state is None:
            self._problems.add(f"{path}.encrypted_content", "is not what this server gave; send the item as it came")
        elif bond is Bond.BEFORE:
            self._bind(state, call_id)
        elif bond is Bond.ALONE:
            self._answer.append(PlacedPart(models_pb2.ContentPart(provider_state=state), path))
        else:
            part.reasoning.redacted = not part.reasoning.text
            part.provider_state.CopyFrom(state)
            self._answer.append(PlacedPart(part, path))

    def _bind(self, state: models_pb2.ProviderState, call_id: str) -> None:
        """Gives state back to the call with this id, or to the last text; a client may have left either out."""
        part = self._calls.get(call_id) if call_id else self._newest_said
        if part is not None:
            part.provider_state.CopyFrom(state)

    # ---------------------------------------------------------------------------------------------------- parts

    def _keep(self, part: models_pb2.ContentPart, raw: msgspec.Raw, path: str) -> None:
        """Adds a part with the item that it came in."""
        part.provider_state.provider = OWNER
        part.provider_state.data = _without_our_marks(raw)
        self._answer.append(PlacedPart(part, path))

    def _end_answer(self) -> None:
        """Ends the message of the assistant's that is being read, if there is one."""
        if not self._answer:
            return
        parts, paths = [part.part for part in self._answer], [part.path for part in self._answer]
        if len(parts) == 1 and parts[0].text and not parts[0].HasField("provider_state"):
            message = models_pb2.ChatMessage(role="assistant", content=parts[0].text)
            place = MessagePlace(paths[0])
        else:
            message, place = models_pb2.ChatMessage(role="assistant", parts=parts), MessagePlace(paths[0], paths)
        self._answer, self._calls, self._newest_said, self._keeps_all = [], {}, None, False
        self._add(message, place)

    def _add(self, message: models_pb2.ChatMessage, place: MessagePlace) -> None:
        self.messages.append(message)
        self.places.append(place)


def _joined(content: Sequence[PlacedPart], path: str) -> Iterator[PlacedPart]:
    """The content at `path` as one text and one refusal at most: each keeps the whole item, which may be large."""
    text = "".join(part.part.text for part in content)
    refusal = "".join(part.part.refusal for part in content)
    here = content[0].path if len(content) == 1 else path
    if text or not refusal:
        yield PlacedPart(models_pb2.ContentPart(text=text), here)
    if refusal:
        yield PlacedPart(models_pb2.ContentPart(refusal=refusal), here)


def _split(sealed: str) -> tuple[str, str, str]:
    """An envelope, and behind a second dot the id of the call that it is of."""
    head, dot, rest = sealed.partition(".")
    body, second, call_id = rest.partition(".")
    return f"{head}{dot}{body}", second, call_id


def _members(raw: msgspec.Raw) -> dict[str, Any]:
    """The decoded members of an item but for those that are not for OpenAI."""
    members = json_text.decode(bytes(raw))
    return {name: value for name, value in members.items() if name != PRIVATE}


def _without_our_marks(raw: msgspec.Raw) -> bytes:
    """An item as it is, but for an id that was made here and what a client has written for itself."""
    item = bytes(raw)
    if MARK not in item and PRIVATE.encode() not in item:
        return item
    members = json_text.raw_members(item.decode())
    members.pop(PRIVATE, None)
    if is_ours(bytes(members.get("id", b"")).decode().strip('"')):
        del members["id"]
    return json_text.encode(members)
