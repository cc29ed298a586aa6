"""`genai usage` in front of real services: what was spent, what is left, and the end of a chat that runs."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genai_platform import AsyncGenAIPlatform, Cancelled
from genai_platform.cli import commands
from tests.scripted_upstream import Received, Script, ScriptedUpstream, event_stream
from tests.services.model_service import answered, chat_request, piece, vendor_variables
from tests.support.processes import running_platform

FAILED = 1


def answer(request: Received) -> Script:
    """The usual answer, or one that goes on for good."""
    if request.method == "POST" and "endless" in request.body.decode():
        return event_stream(piece("Hello."), asyncio.Event())
    return answered(request)


class CommandLine:
    """`genai` with these variables, in this process."""

    def __init__(self, **variables: str) -> None:
        unset: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("GENAI_", "ACCESS_"))}
        self._variables = unset | variables

    async def run(self, *arguments: str, key: str = "") -> Result:
        variables = self._variables | ({"GENAI_API_KEY": key} if key else {})
        ended: Result = await asyncio.to_thread(CliRunner().invoke, commands.genai, arguments, env=variables)
        assert ended.exception is None or isinstance(ended.exception, SystemExit)
        return ended

    async def done(self, *arguments: str, key: str = "") -> str:
        """The output of a command that succeeds."""
        ended = await self.run(*arguments, key=key)
        assert ended.exit_code == 0, ended.stderr
        return ended.stdout.strip()


async def test_usage_is_listed_exported_and_bounded_and_a_chat_is_ended(tmp_path: Path) -> None:
    async with ScriptedUpstream(default=answer) as upstream:
        settings = {**vendor_variables(upstream.url), "AUTH_MODE": "required", "GENAI_DATA_DIR": str(tmp_path / "data")}
        admin = await CommandLine(**settings).done("keys", "create", "--admin", "--quiet")
        with running_platform(tmp_path, **settings) as platform:
            genai = CommandLine(**settings, GENAI_GATEWAY_URL=platform.address)
            await genai.done("teams", "create", "search", key=admin)
            await genai.done("projects", "create", "shop", "--team", "search", key=admin)
            await genai.done("limits", "set", "usd", "50", "--per", "month", "--project", "shop", key=admin)
            own = await genai.done("keys", "create", "app", "--project", "shop", "--quiet", key=admin)
            async with AsyncGenAIPlatform(platform.address, api_key=own) as client:
                response = await client.models.chat(chat_request())
                stream = client.models.chat_stream(chat_request(text="endless"))
                chunks = aiter(stream)
                await anext(chunks)
                [call] = json.loads(await genai.done("usage", "calls", "-o", "json", key=admin))
                assert (call["project_id"], call["model"]) == ("shop", "gpt-4o")
                assert "is ended" in (await genai.run("usage", "cancel", call["call_id"], key=own)).stderr
                again = await genai.run("usage", "cancel", call["call_id"], key=own)
                assert (again.exit_code, "CALL_NOT_FOUND" in again.stderr) == (FAILED, True)
                with pytest.raises(Cancelled) as ended:
                    await anext(chunks)
                assert ended.value.reason == "CALL_CANCELLED"
            cost = response.usage.cost_nano_usd
            listed = await genai.done("usage", "list", "--by", "project,model", key=admin)
            project, model, calls, failed, *_ = listed.split("\t")
            assert (project, model, calls, failed) == ("shop", "gpt-4o", "2", "1")
            exported = csv.DictReader(io.StringIO(await genai.done("usage", "export", "-", "--by", "team", key=admin)))
            [row] = exported
            assert (row["team_id"], row["calls"], int(row["cost_nano_usd"]) > cost) == ("search", "2", True)
            limits = [line.split("\t") for line in (await genai.done("usage", "mine", key=own)).splitlines()][-1]
            assert limits[1:4] == ["project shop", "usd", "month"]
            used, amount, left = map(float, limits[4:7])
            assert amount == 50
            # Each is rounded to a millionth.
            assert abs(used + left - amount) < 2e-6
            assert used == float(f"{int(row['cost_nano_usd']) / 1e9:.6f}")
