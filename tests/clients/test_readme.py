"""README's table of clients: each line works as it stands there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import CLIENTS, NODE, PYTHON, ROOT, Clients
from tests.clients.turns import Turn, said

ADDRESS = "127.0.0.1:50080"
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.partition("## Any client")[2].partition("\n## ")[0]

OPENAI = "export OPENAI_BASE_URL=http://127.0.0.1:50080/v1 OPENAI_API_KEY=any"
ANTHROPIC = "export ANTHROPIC_BASE_URL=http://127.0.0.1:50080 ANTHROPIC_API_KEY=any"

CLAUDE_CODE, CODEX = 'claude --model gpt-5.4 -p "Hello"', 'codex exec -m claude-sonnet-4-6 "Hello"'
CODEX_SETTING = 'openai_base_url = "http://127.0.0.1:50080/v1"'
LLM_SETTING = '- {model_id: mine, model_name: gpt-4o, api_base: "http://127.0.0.1:50080/v1"}'

PYTHON_LINES = {
    "openai": 'OpenAI().chat.completions.create(model="claude-sonnet-4-6", messages=messages)',
    "anthropic": 'Anthropic().messages.create(model="gpt-4o", messages=messages, max_tokens=1000)',
    "langchain_openai": 'ChatOpenAI(model="claude-sonnet-4-6")',
    "langchain_anthropic": 'ChatAnthropic(model="gpt-4o")',
    "pydantic_ai": 'Agent("openai-chat:claude-sonnet-4-6")',
    "agents": 'Agent(name="a", model="claude-sonnet-4-6")',
    "litellm": 'completion("openai/claude-sonnet-4-6", messages)',
}
PYTHON_PROGRAMS = {
    "openai": "from openai import OpenAI\nprint(LINE.choices[0].message.content)",
    "anthropic": "from anthropic import Anthropic\nprint(LINE.content[0].text)",
    "langchain_openai": "from langchain_openai import ChatOpenAI\nprint(LINE.invoke('Hello').text)",
    "langchain_anthropic": "from langchain_anthropic import ChatAnthropic\nprint(LINE.invoke('Hello').text)",
    "pydantic_ai": "from pydantic_ai import Agent\nprint(LINE.run_sync('Hello').output)",
    "agents": "from agents import Agent, Runner, set_tracing_disabled\nset_tracing_disabled(True)\n"
    "print(Runner.run_sync(LINE, 'Hello').final_output)",
    "litellm": "from litellm import completion\nprint(LINE.choices[0].message.content)",
}

NODE_LINES = {
    "openai": 'new OpenAI().responses.create({ model: "claude-sonnet-4-6", input: "Hello" })',
    "anthropic": 'new Anthropic().messages.create({ model: "gpt-4o", messages, max_tokens: 1000 })',
    "ai": 'generateText({ model: openai.chat("claude-sonnet-4-6"), prompt: "Hello" })',
}
NODE_MESSAGES = 'const messages = [{ role: "user", content: "Hello" }];'
NODE_PROGRAMS = {
    "openai": 'import OpenAI from "openai";\nconsole.log((await LINE).output_text)',
    "anthropic": 'import Anthropic from "@anthropic-ai/sdk";\nconsole.log((await LINE).content[0].text)',
    "ai": 'import { generateText } from "ai";\nimport { openai } from "@ai-sdk/openai";\n'
    "console.log((await LINE).text)",
}


async def says_hello(clients: Clients, script: str) -> None:
    """Runs lines of a shell with the two that the table begins with."""
    commands = clients.home / "bin"
    commands.mkdir()
    agents = {"claude": "@anthropic-ai/claude-code/cli-wrapper.cjs", "codex": "@openai/codex/bin/codex.js"}
    for name, file in agents.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {NODE} {CLIENTS / "node_modules" / file} "$@"\n')
        (commands / name).chmod(0o755)
    clients.upstream.play(*said(Turn("Good morning.")))
    lines = f"PATH={commands}:{PYTHON.parent}:$PATH\n{OPENAI}\n{ANTHROPIC}\n{script}"

    ended = await clients.run(["bash", "-ec", lines.replace(ADDRESS, urlsplit(clients.url).netloc)])

    assert "Good morning." in ended.out, ended
    assert len(clients.requests) == 1


def test_table_has_the_lines() -> None:
    lines = [OPENAI, ANTHROPIC, CLAUDE_CODE, CODEX, CODEX_SETTING, LLM_SETTING]
    lines += [*PYTHON_LINES.values(), *NODE_LINES.values()]
    assert [line for line in lines if line not in TABLE] == []


async def test_claude_code(clients: Clients) -> None:
    await says_hello(clients, CLAUDE_CODE)


async def test_codex(clients: Clients) -> None:
    # A test's directory is no repository, in which alone it works without a word.
    setting = f"mkdir .codex; git init -q; echo '{CODEX_SETTING}' > .codex/config.toml\n"
    await says_hello(clients, setting + CODEX)


async def test_llm(clients: Clients) -> None:
    folder = 'export LLM_USER_PATH="$HOME"\n'
    await says_hello(clients, f"{folder}echo '{LLM_SETTING}' > extra-openai-models.yaml\nllm -m mine Hello")


@pytest.mark.parametrize("client", PYTHON_LINES)
async def test_python(clients: Clients, client: str) -> None:
    program = PYTHON_PROGRAMS[client].replace("LINE", PYTHON_LINES[client])
    (clients.home / "program.py").write_text(f"messages = [dict(role='user', content='Hello')]\n{program}\n")
    await says_hello(clients, f"{PYTHON} program.py")


@pytest.mark.parametrize("client", NODE_LINES)
async def test_node(clients: Clients, client: str) -> None:
    program = NODE_PROGRAMS[client].replace("LINE", NODE_LINES[client])
    # Node looks for packages beside the file itself.
    file = CLIENTS / f"readme_{client}.mjs"
    file.write_text(program.replace("console.log", f"{NODE_MESSAGES}\nconsole.log"))
    await says_hello(clients, f"{NODE} {file}")
