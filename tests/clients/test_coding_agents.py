"""Claude Code and Codex do their work: they read a file, change it and say so, with models of either vendor."""

from __future__ import annotations

import json

import pytest

from tests.clients.conftest import ANTHROPIC_MODEL, CLIENTS, NODE, OPENAI_MODEL, PAID, Clients, Ended
from tests.clients.turns import ENCRYPTED, PROMPT_TOKENS, SIGNATURE, Call, Turn, said
from tests.scripted_upstream import json_answer

CODEX = CLIENTS / "node_modules" / ".bin" / "codex"
CLAUDE_CODE = CLIENTS / "node_modules" / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"


async def claude_code(clients: Clients, prompt: str, model: str) -> Ended:
    variables = {
        "ANTHROPIC_BASE_URL": clients.url,
        "ANTHROPIC_API_KEY": "sk-any",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    command = [NODE, CLAUDE_CODE, "-p", prompt, "--model", model, "--output-format", "json"]
    return await clients.run([*command, "--permission-mode", "acceptEdits"], variables)


EITHER = pytest.mark.parametrize("model", [ANTHROPIC_MODEL, OPENAI_MODEL])


@EITHER
async def test_claude_code_edits_a_file(clients: Clients, model: str) -> None:
    file = clients.home / "poem.txt"
    file.write_text("Roses are red.\n")
    clients.upstream.play(
        *said(
            Turn("I read it.", [Call("Read", {"file_path": str(file)})], thought="First I look."),
            Turn(
                calls=[Call("Edit", {"file_path": str(file), "old_string": "red", "new_string": "blue"})],
                thought="Now I change it.",
            ),
            Turn("The roses are blue now."),
        )
    )

    ended = await claude_code(clients, "Make the roses in poem.txt blue.", model)

    result = ended.value()
    assert (result["result"], result["is_error"]) == ("The roses are blue now.", False)
    assert list(result["modelUsage"]) == [model]
    assert result["usage"]["input_tokens"] == 3 * PROMPT_TOKENS
    assert file.read_text() == "Roses are blue.\n"
    assert len(clients.requests) == 3
    state = SIGNATURE if model == ANTHROPIC_MODEL else ENCRYPTED
    assert [request.body.count(state.encode()) for request in clients.requests] == [0, 1, 2]


CODEX_SETTINGS = """
model_provider = "gateway"

[model_providers.gateway]
name = "Gateway"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "GATEWAY_KEY"
"""


async def codex(clients: Clients, prompt: str, model: str, settings: str = CODEX_SETTINGS) -> Ended:
    folder = clients.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(settings.format(url=clients.url))
    command = [NODE, CODEX, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json"]
    return await clients.run([*command, "-m", model, prompt], {"GATEWAY_KEY": "sk-any", "OPENAI_API_KEY": "sk-any"})


@EITHER
async def test_codex_runs_a_command(clients: Clients, model: str) -> None:
    clients.upstream.play(
        *said(
            Turn("I write it.", [Call("exec_command", {"cmd": "echo blue > roses.txt"})], thought="A shell will do."),
            Turn("The roses are blue now."),
        )
    )

    ended = await codex(clients, "Write blue into roses.txt.", model)

    events = [json.loads(line) for line in ended.out.splitlines()]
    assert events[-2]["item"]["text"] == "The roses are blue now."
    assert events[-1]["usage"]["input_tokens"] == 2 * PROMPT_TOKENS
    assert (clients.home / "roses.txt").read_text() == "blue\n"
    assert len(clients.requests) == 2
    state = SIGNATURE if model == ANTHROPIC_MODEL else ENCRYPTED
    assert state.encode() in clients.requests[1].body


@EITHER
async def test_codex_goes_on_without_a_websocket(clients: Clients, model: str) -> None:
    """Its own provider tries a WebSocket first, and again for seconds unless the answer says what to do instead."""
    clients.upstream.play(*said(Turn("Hello.")))

    ended = await codex(clients, "Hello", model, 'openai_base_url = "{url}/v1"')

    assert '"text":"Hello."' in ended.out, ended
    assert len(clients.requests) == 1


@EITHER
async def test_claude_code_does_not_ask_again_for_what_may_be_paid(clients: Clients, model: str) -> None:
    clients.upstream.default = PAID

    ended = await claude_code(clients, "Hello", model)

    assert ended.code == 1
    assert json.loads(ended.out)["api_error_status"] == 502
    assert len(clients.requests) == 1


@EITHER
async def test_claude_code_compacts_what_is_too_long(clients: Clients, model: str) -> None:
    """It knows that error by its words."""
    error = {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    if model == ANTHROPIC_MODEL:
        error = {"message": "prompt is too long: 1200000 tokens > 1000000 maximum", "type": "invalid_request_error"}
    clients.upstream.default = json_answer({"type": "error", "error": error}, status=400)

    ended = await claude_code(clients, "Hello", model)

    assert "Prompt is too long" in json.loads(ended.out)["result"]
