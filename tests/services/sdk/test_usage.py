"""`platform.usage` of both clients, through a real gateway and a real Model Service."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from genai_platform import AsyncGenAIPlatform, Cancelled, GenAIPlatform, InvalidRequest, NotFound
from genai_platform.cli import commands
from tests.rows import row
from tests.scripted_upstream import ScriptedUpstream, event_stream
from tests.services.gateway.gateways import gateway
from tests.services.model_service import answered, chat_request, model_service, piece
from tests.services.recent_days import recent_days

HEAD = (
    "model,calls,failed_calls,prompt_tokens,completion_tokens,cached_prompt_tokens,reasoning_tokens,cost_nano_usd,"
    "unpriced_calls"
)
ROW = "gpt-4o,2,0,18,8,0,0,125000,0"


class Served(NamedTuple):
    address: str
    upstream: ScriptedUpstream


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A platform that has answered two chats."""
    async with (
        ScriptedUpstream(default=answered) as upstream,
        model_service(tmp_path, upstream) as models,
        gateway(models=models.address) as front,
    ):
        for _ in range(2):
            await models.stub.Chat(chat_request())
        yield Served(front.address, upstream)


async def test_the_asynchronous_client(served: Served, tmp_path: Path) -> None:
    async with AsyncGenAIPlatform(served.address) as platform:
        assert (await platform.usage.mine()).today.calls == 2
        rows = [row async for row in platform.usage.list(group_by=["model"], from_day=date(2026, 1, 1))]
        assert [(row.model, row.sums.calls) for row in rows] == [("gpt-4o", 2)]
        file = tmp_path / "usage.csv"
        assert await platform.usage.export(file, group_by=["model"]) == 1
        assert file.read_text() == f"{HEAD}\n{ROW}\n"
        text = io.StringIO()
        assert await platform.usage.export(text, format="jsonl", model="gpt-4o") == 1
        with pytest.raises(InvalidRequest, match="group_by"):
            await platform.usage.export(file, group_by=["colour"])
        assert file.read_text() == f"{HEAD}\n{ROW}\n"


async def test_a_running_call_is_ended(served: Served) -> None:
    served.upstream.play(event_stream(piece("Hello, you."), asyncio.Event()))
    async with AsyncGenAIPlatform(served.address) as platform:
        stream = platform.models.chat_stream("Hi", model="gpt-4o")
        await anext(stream)
        [call] = [call async for call in platform.usage.calls()]
        await platform.usage.cancel(call.call_id)
        with pytest.raises(Cancelled) as ended:
            [_ async for _ in stream]
        assert ended.value.reason == "CALL_CANCELLED"
        with pytest.raises(NotFound):
            await platform.usage.cancel(call.call_id)


async def test_the_blocking_client(served: Served) -> None:
    def use() -> None:
        with GenAIPlatform(served.address) as platform:
            rows = list(platform.usage.list(group_by=["day"]))
            assert {row.day for row in rows} <= recent_days()
            assert sum(row.sums.calls for row in rows) == 2
            text = io.StringIO()
            assert platform.usage.export(text, group_by=["model"]) == 1
            assert text.getvalue() == f"{HEAD}\n{ROW}\n"
            assert list(platform.usage.calls()) == []
            with pytest.raises(InvalidRequest, match="from_day"):
                platform.usage.export(io.StringIO(), from_day="yesterday")

    await asyncio.to_thread(use)


async def test_the_command_line(served: Served, tmp_path: Path) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(commands.genai, ["usage", *arguments], env={"GENAI_GATEWAY_URL": served.address})

    def use() -> None:
        listed = run("list", "--by", "day,model")
        day, _, rest = listed.stdout.partition("\t")
        assert (listed.exit_code, rest) == (0, "gpt-4o\t2\t0\t18\t8\t0.000125\t0\n")
        assert day in recent_days()
        file = tmp_path / "usage.csv"
        assert run("export", "--by", "model", str(file)).exit_code == 0
        assert file.read_text() == f"{HEAD}\n{ROW}\n"
        assert run("export", "--by", "model", "-").stdout == file.read_text()
        assert "CALLS TODAY\t2\n" in run("mine").stdout
        assert run("calls").stdout == ""
        for wrong, code, told in (
            (["list", "--by", "colour"], 2, "'colour' is none of day"),
            (["list", "--from", "yesterday"], 1, "from_day: is no day"),
            (["cancel", "no-such-call"], 1, "no such call"),
        ):
            with row(*wrong):
                failed = run(*wrong)
                assert (failed.exit_code, told in failed.stderr) == (code, True)

    await asyncio.to_thread(use)
