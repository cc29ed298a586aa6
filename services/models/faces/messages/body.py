"""Body of a request to Messages → ChatRequest. https://platform.claude.com/docs/en/api/messages/create"""

from __future__ import annotations

from typing import Any

import msgspec

from proto import models_pb2
from services.models.faces.messages.assistant import VENDOR, AssistantReader
from services.models.faces.messages.blocks import BlockReader
from services.models.faces.messages.places import MessagePlace
from services.models.faces.messages.tools import read_tools
from services.models.faces.shapes import ABSENT, INT32, Problems, is_given, with_whole_characters
from services.models.providers.requests.options import QUESTION_MEMBERS
from services.models.validation.extra_body import reserved_in
from services.models.validation.limits import MAX_MESSAGES
from services.shared.json_text import encode

Options = dict[str, Any]
"""Members for the body of Anthropic, by their names."""

BILLING_NOTE = "x-anthropic-billing-header:"
"""The beginning of a text of Claude Code for Anthropic alone; it becomes a message of its own, which providers leave
out."""


NO_JSON = "is not valid JSON in UTF-8"


class _Message(msgspec.Struct):
    role: str
    content: str | list[msgspec.Raw]


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: msgspec.Raw = ABSENT


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw


class _Metadata(msgspec.Struct):
    user_id: str | None = None


_RAW_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MESSAGES = msgspec.json.Decoder(list[_Message])
_TEXT_OR_BLOCKS: msgspec.json.Decoder[str | list[msgspec.Raw]] = msgspec.json.Decoder(str | list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_FLAG = msgspec.json.Decoder(bool)
_INTEGER = msgspec.json.Decoder(int)
_NUMBER = msgspec.json.Decoder(float)
_THINKING = msgspec.json.Decoder(_Thinking)
_OUTPUT_CONFIG = msgspec.json.Decoder(_OutputConfig)
_FORMAT = msgspec.json.Decoder(_Format)
_METADATA = msgspec.json.Decoder(_Metadata)

DISPLAYS = {"summarized": True, "omitted": False}


class Body:
    """A body that is read: its request, and what the face itself must know. Raises InvalidRequest naming what is wrong
    in it."""

    def __init__(self, body: bytes, model: str) -> None:
        self.request = models_pb2.ChatRequest()
        self.streams = False
        self.platform = b""
        self.places: list[MessagePlace] = []
        self._problems = Problems()
        self._blocks = BlockReader(self._problems)
        self._options: Options = {}
        self._members = self._read_members(body)
        self.request.model = model
        try:
            if self._members:
                self._read()
        except UnicodeDecodeError:
            # Only texts that are read are known to be UTF-8; other values are kept as they are.
            self._problems.add("", NO_JSON)
        self._problems.raise_if_any()

    def _read_members(self, body: bytes) -> dict[str, msgspec.Raw]:
        members = Problems().read(body, _RAW_MEMBERS, "")
        if members is None:
            # Clients cut texts within a character, and the rest is readable all the same.
            members = self._problems.read(with_whole_characters(body), _RAW_MEMBERS, "")
        return {name: value for name, value in (members or {}).items() if is_given(value)}

    def _take(self, name: str, decoder: msgspec.json.Decoder[Any]) -> Any:
        """Takes a member out of the body; None without it, and for one of a wrong type."""
        raw = self._members.pop(name, None)
        return None if raw is None else self._problems.read(raw, decoder, name)

    def _read(self) -> None:
        request = self.request
        request.model = self._take("model", _TEXT) or request.model
        self.streams = bool(self._take("stream", _FLAG))
        self.platform = bytes(self._members.pop("genai", b""))
        self._read_system()
        self._read_messages()
        self._read_config()
        if (raw := self._members.pop("tools", None)) is not None:
            read_tools(raw, request, self._blocks)
        if (raw := self._members.pop("tool_choice", None)) is not None:
            self._read_choice(raw)
        self._read_reasoning()
        self._read_metadata()
        self._keep_others()

    def _read_system(self) -> None:
        system = self._take("system", _TEXT_OR_BLOCKS)
        if isinstance(system, str):
            if system:
                self._add(models_pb2.ChatMessage(role="system", content=system), MessagePlace("system"))
        elif system:
            self._read_texts(system, "system")

    def _read_texts(self, raw_blocks: list[msgspec.Raw], path: str) -> None:
        """Adds the texts of a system message. A note for Anthropic's billing is a message of its own."""
        texts: list[tuple[str, models_pb2.ContentPart]] = []
        for block in self._blocks.placed(raw_blocks, path):
            if block.kind != "text":
                self._problems.add(f"{block.path}.type", "must be text in a system message")
                continue
            part = self._blocks.text(block)
            if part is None:
                continue
            if part.text.startswith(BILLING_NOTE):
                self._add_parts("system", path, [(block.path, part)])
            else:
                texts.append((block.path, part))
        self._add_parts("system", path, texts)

    def _read_messages(self) -> None:
        raw = self._members.pop("messages", None)
        if raw is None:
            self._problems.add("messages", "is required")
            return
        messages = self._problems.read(raw, _MESSAGES, "messages") or []
        if len(messages) > MAX_MESSAGES:
            self._problems.add("messages", f"holds more than {MAX_MESSAGES} messages")
            return
        for index, message in enumerate(messages):
            self._read_message(message, f"messages[{index}]")

    def _read_message(self, message: _Message, path: str) -> None:
        role, content = message.role, message.content
        if role not in ("user", "assistant", "system"):
            self._problems.add(f"{path}.role", "must be user, assistant or system")
        elif isinstance(content, str):
            self._add(models_pb2.ChatMessage(role=role, content=content), MessagePlace(path))
        elif role == "system":
            self._read_texts(content, f"{path}.content")
        elif role == "assistant":
            assistant = AssistantReader(self._blocks)
            assistant.read(content, f"{path}.content")
            self._add_parts(role, path, list(zip(assistant.paths, assistant.parts, strict=True)))
        else:
            self._read_user(content, path)

    def _read_user(self, raw_blocks: list[msgspec.Raw], path: str) -> None:
        """Adds the results of tools as a message of the tool before what the user says."""
        results: list[tuple[str, models_pb2.ContentPart]] = []
        said: list[tuple[str, models_pb2.ContentPart]] = []
        for block in self._blocks.placed(raw_blocks, f"{path}.content"):
            if block.kind == "tool_result":
                found, part = results, self._blocks.tool_result(block)
            else:
                found, part = said, self._blocks.plain(block)
            if part is not None:
                found.append((block.path, part))
        if results:
            self._add_parts("tool", path, results)
        if said or not results:
            self._add_parts("user", path, said)

    def _add_parts(self, role: str, path: str, parts: list[tuple[str, models_pb2.ContentPart]]) -> None:
        if not parts and role == "system":
            return
        message = models_pb2.ChatMessage(role=role)
        if len(parts) == 1 and _is_bare_text(parts[0][1]):
            message.content = parts[0][1].text
            self._add(message, MessagePlace(parts[0][0], is_block=True))
            return
        message.parts.extend([part for _, part in parts])
        self._add(message, MessagePlace(path, [path for path, _ in parts]))

    def _add(self, message: models_pb2.ChatMessage, place: MessagePlace) -> None:
        self.request.messages.append(message)
        self.places.append(place)

    def _read_config(self) -> None:
        config = self.request.config
        for name in ("max_tokens", "top_k"):
            value = self._take(name, _INTEGER)
            if value is None:
                continue
            if value in INT32:
                setattr(config, name, value)
            else:
                self._problems.add(name, "is out of range")
        for name in ("temperature", "top_p"):
            value = self._take(name, _NUMBER)
            if value is not None:
                setattr(config, name, value)
        config.stop_sequences.extend(self._take("stop_sequences", _TEXTS) or ())

    def _read_choice(self, raw: msgspec.Raw) -> None:
        choice = self._problems.read(raw, _CHOICE, "tool_choice")
        if choice is None:
            return
        mode = CHOICES.get(choice.type)
        if mode is not None:
            self.request.tool_choice.mode = mode
        elif choice.type != "tool":
            self._problems.add("tool_choice.type", "must be auto, any, tool or none")
        elif not choice.name:
            self._problems.add("tool_choice.name", "is required")
        else:
            self.request.tool_choice.tool_name = choice.name
        if choice.disable_parallel_tool_use is not None:
            self.request.config.parallel_tool_calls = not choice.disable_parallel_tool_use

    def _read_reasoning(self) -> None:
        config = self._read_output_config()
        effort = config.effort if config is not None else None
        raw = self._members.pop("thinking", None)
        thinking = None if raw is None else self._problems.read(raw, _THINKING, "thinking")
        reasoning = self.request.reasoning
        if thinking is None:
            if effort:
                reasoning.effort = effort
            return
        if thinking.type == "disabled":
            reasoning.effort = "none"
            if effort:
                # The contract's one word says both, and Anthropic takes an effort without thoughts.
                self._add_option("output_config", {"effort": effort})
            return
        if thinking.type == "enabled":
            if thinking.budget_tokens is None or thinking.budget_tokens not in INT32:
                self._problems.add("thinking.budget_tokens", "must be the number of tokens to think with")
                return
            reasoning.budget_tokens = thinking.budget_tokens
        elif thinking.type != "adaptive":
            self._problems.add("thinking.type", "must be adaptive, enabled or disabled")
            return
        elif not effort:
            # It asks for thoughts without saying how many, for which only Anthropic has a word.
            self._add_option("thinking", raw)
        if effort:
            reasoning.effort = effort
        self._read_display(thinking.display)

    def _read_display(self, display: str | None) -> None:
        if display is None:
            return
        shown = DISPLAYS.get(display)
        if shown is None:
            self._problems.add("thinking.display", "must be summarized or omitted")
        else:
            self.request.reasoning.include_text = shown

    def _read_output_config(self) -> _OutputConfig | None:
        """Reads the format of the answer, and returns what else has a field in the contract. The rest goes into the
        options."""
        output_format = self._members.pop("output_format", None)
        if output_format is not None:
            self._read_format(output_format, "output_format")
        raw = self._members.pop("output_config", None)
        if raw is None:
            return None
        config = self._problems.read(raw, _OUTPUT_CONFIG, "output_config")
        if config is None:
            return None
        if is_given(config.format):
            self._read_format(config.format, "output_config.format")
        self._keep_rest("output_config", raw, {"effort", "format"})
        return config

    def _read_format(self, raw: msgspec.Raw, path: str) -> None:
        wanted = self._problems.read(raw, _FORMAT, path)
        if wanted is None:
            return
        if wanted.type != "json_schema":
            self._problems.add(f"{path}.type", "must be json_schema")
            return
        schema_json = bytes(wanted.schema).decode()
        self.request.response_format.CopyFrom(
            models_pb2.ResponseFormat(type="json_schema", schema_json=schema_json, strict=True)
        )

    def _read_metadata(self) -> None:
        raw = self._members.pop("metadata", None)
        metadata = None if raw is None else self._problems.read(raw, _METADATA, "metadata")
        if raw is None or metadata is None:
            return
        self.request.end_user_id = metadata.user_id or ""
        self._keep_rest("metadata", raw, {"user_id"})

    def _keep_rest(self, name: str, raw: msgspec.Raw, known: set[str]) -> None:
        """Keeps the members of an object that have no field in the contract."""
        members = _RAW_MEMBERS.decode(raw)
        if rest := {inner: value for inner, value in members.items() if inner not in known and is_given(value)}:
            self._add_option(name, rest)

    def _add_option(self, name: str, value: Any) -> None:
        before = self._options.get(name)
        self._options[name] = {**before, **value} if isinstance(before, dict) else value

    def _keep_others(self) -> None:
        """Keeps the members that have no field in the contract, which goes to Anthropic alone."""
        for name in reserved_in(self._members, QUESTION_MEMBERS):
            self._problems.refuse(name, "is no member of a request to Messages")
        self._options |= self._members
        if self._options:
            self.request.provider_options_json[VENDOR] = encode(self._options).decode()


def _is_bare_text(part: models_pb2.ContentPart) -> bool:
    return bool(part.text) and not part.HasField("cache") and not part.HasField("provider_state")


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


_CHOICE = msgspec.json.Decoder(_Choice)

CHOICES = {
    "auto": models_pb2.TOOL_CHOICE_MODE_AUTO,
    "any": models_pb2.TOOL_CHOICE_MODE_REQUIRED,
    "none": models_pb2.TOOL_CHOICE_MODE_NONE,
}
