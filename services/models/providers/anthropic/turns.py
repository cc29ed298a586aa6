"""Messages → turns of content blocks. https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from proto import models_pb2
from services.models.providers.anthropic.blocks import BlockEncoder, kind_of
from services.models.providers.anthropic.cache import Block, CacheBreakpoints, bare
from services.models.providers.anthropic.kept_blocks import THINKING_BLOCKS
from services.models.providers.base import Conversation
from services.models.providers.requests.translation import Translation

SPOKEN_BLOCKS = THINKING_BLOCKS | {"text", "tool_use"}
"""Blocks that the model itself writes. All other blocks of an answer belong to the provider's own tools."""


class Turns(NamedTuple):
    """A conversation as Messages takes it: the first system text apart, and all tool results of a turn in one user
    message."""

    system: list[Block]
    turns: list[dict[str, Any]]
    newest: str
    """The path of the message that the last turn of the user or the assistant ends with."""
    container: str
    """The id of the newest container that an answer names; empty if none does."""

    def is_prefilled(self) -> bool:
        """Whether the conversation ends with the beginning of an answer, and not with one that the provider paused."""
        return bool(self.turns) and self.turns[-1]["role"] == "assistant" and not self._is_paused()

    def trim_beginning(self) -> bool:
        """Strips white space from the end of the beginning of the answer. Returns whether there was any."""
        content = self.turns[-1]["content"]
        newest = bare(content[-1])
        if not isinstance(newest, dict) or newest["type"] != "text" or newest["text"] == newest["text"].rstrip():
            return False
        newest["text"] = newest["text"].rstrip()
        return True

    def resumes_without_thinking(self) -> bool:
        """Whether the model continues a turn that it began without thinking.

        Its turn lasts until the user sends more than results of tools, after any number of calls, and a model with a
        budget thinks only at the beginning of a turn:
        https://platform.claude.com/docs/en/build-with-claude/extended-thinking#extended-thinking-with-tool-use.
        """
        first: Block = None
        for turn in reversed(self.turns):
            if turn["role"] == "assistant":
                first = turn["content"][0]
            elif turn["role"] == "user" and kind_of(turn["content"][-1]) != "tool_result":
                break
        return first is not None and kind_of(first) not in THINKING_BLOCKS

    def blocks(self) -> Iterator[list[Block]]:
        """Every list of blocks, in the order of the body."""
        yield self.system
        for turn in self.turns:
            yield turn["content"]

    def _is_paused(self) -> bool:
        """Whether the last turn has running tools of the provider, or ends with a result of one."""
        kinds = [kind_of(block) for block in self.turns[-1]["content"]]
        return kinds[-1] not in SPOKEN_BLOCKS or "server_tool_use" in kinds


def gather(conversation: Conversation, breakpoints: CacheBreakpoints, translation: Translation) -> Turns:
    """The turns of a conversation as the target takes it, with system messages in between where it takes those.

    Refuses media that Messages does not take, and a message of the request's own that is white space alone and not the
    assistant's.
    """
    return _Gathering(BlockEncoder(breakpoints, translation), translation).gather(conversation)


class _SystemMessage(NamedTuple):
    """A system message that waits for its place."""

    path: str
    blocks: list[Block]


class _Gathering:
    def __init__(self, encoder: BlockEncoder, translation: Translation) -> None:
        self._encoder = encoder
        self._translation = translation
        self._system_turns = translation.target.facts.system_turns
        self._system: list[Block] = []
        self._turns: list[dict[str, Any]] = []
        self._mixed: set[int] = set()
        """Indexes of turns in which results follow other content of the user."""
        self._waiting: list[_SystemMessage] = []
        self._overtaken = 0
        """The number of waiting messages after which the user has sent content; they are placed after that content."""
        self._newest = ""

    def gather(self, conversation: Conversation) -> Turns:
        for path, message in conversation.numbered():
            if message.name:
                text = "Messages takes no names of speakers; it was not sent"
                self._translation.warn("NAME_DROPPED", f"{path}.name", text)
            if message.role in ("system", "developer"):
                self._add_system(message, path)
            elif message.role == "assistant":
                self._add("assistant", self._encoder.assistant(message, path), path)
            elif message.role == "tool":
                self._add("user", list(self._encoder.tool_results(message, path)), path)
            else:
                self._add("user", self._encoder.plain(message, path), path)
        self._place_waiting()
        for index in self._mixed:
            # Results must come first in a turn.
            self._turns[index]["content"].sort(key=lambda block: kind_of(block) != "tool_result")
        return Turns(self._system, self._turns, self._newest, self._encoder.container)

    def _add(self, role: str, content: list[Block], path: str) -> None:
        if not content:
            # A turn without content would be refused.
            return
        self._newest = path
        if role == "assistant":
            self._place_waiting()
        else:
            self._overtaken = len(self._waiting)
        if self._turns and self._turns[-1]["role"] == role:
            self._extend(self._turns[-1]["content"], content)
        else:
            self._turns.append({"role": role, "content": content})

    def _extend(self, before: list[Block], content: list[Block]) -> None:
        if kind_of(content[0]) == "tool_result" and kind_of(before[-1]) != "tool_result":
            self._mixed.add(len(self._turns) - 1)
        before.extend(content)

    # ----------------------------------------------------------------------------------------------------- system

    def _add_system(self, message: models_pb2.ChatMessage, path: str) -> None:
        blocks = self._encoder.plain(message, path)
        if not blocks:
            return
        if not self._turns:
            self._system.extend(blocks)
        else:
            self._waiting.append(_SystemMessage(path, blocks))
            if not self._system_turns:
                self._move_waiting_to_front("Messages takes system text only before the conversation")

    def _place_waiting(self) -> None:
        """Puts the waiting system messages into one turn after the user's, the only place where they are allowed:
        https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages#limitations."""
        if not self._waiting:
            return
        if self._turns[-1]["role"] != "user":
            self._move_waiting_to_front("Messages takes system text only at the front and behind a user's message")
            return
        for message in self._waiting[: self._overtaken]:
            text = "Messages takes no system message before a user's; it was sent behind the next user message"
            self._warn_of_move(message.path, text)
        content = [block for message in self._waiting for block in message.blocks]
        self._turns.append({"role": "system", "content": content})
        self._waiting, self._overtaken = [], 0

    def _move_waiting_to_front(self, why: str) -> None:
        for message in self._waiting:
            self._system.extend(message.blocks)
            self._warn_of_move(message.path, f"{why}; this message was moved to the front")
        self._waiting, self._overtaken = [], 0

    def _warn_of_move(self, path: str, text: str) -> None:
        self._translation.warn("SYSTEM_MESSAGE_MOVED", path, text)
