"""`genai chat`: one prompt, or a conversation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import click

from genai_platform import GenAIPlatform, Media, PermissionDenied, to_dict
from genai_platform.cli.answers import printable, stream_answer, tell_end, tell_usage
from genai_platform.cli.dialog import converse, last_session, open_session
from genai_platform.cli.ending import fail_interrupted
from genai_platform.cli.output import say
from genai_platform.cli.parameters import Pair
from genai_platform.cli.platforms import opened
from genai_platform.environment import read_variable
from genai_platform.requests import MODEL_VARIABLE
from genai_platform.streams import check_stored

INPUT_BYTES = 32 * 1024 * 1024
PIECE_BYTES = 64 * 1024

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("text", default="")
@click.option("-m", "--model", help="Model; by default that of the prompt, or of GENAI_MODEL.")
@click.option("-s", "--system", help="System message: in a new session that of the whole conversation.")
@click.option("-f", "--file", "files", type=EXISTING, multiple=True, help="Image or document; may be repeated.")
@click.option("--schema", type=EXISTING, help="File with a JSON Schema: the answer is JSON that follows it.")
@click.option("-p", "--prompt", help="Registered prompt that comes before the text.")
@click.option("--label", help="Label of the prompt; by default its version in force.")
@click.option("--version", type=click.IntRange(1), help="Version of the prompt.")
@click.option("--var", "variables", type=Pair(), multiple=True, help="Variable of the prompt; may be repeated.")
@click.option("--session", "session_id", help="Session to continue, or to begin with this id.")
@click.option("-c", "--continue", "continues", is_flag=True, help="Continue the last session on this machine.")
@click.option("-t", "--temperature", type=float, help="Randomness, 0 to 2.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer, in tokens.")
@click.option("--preview", is_flag=True, help="Print the request that the provider would get, and send nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Tell tokens and cost, as always on a terminal.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format (text).")
def chat(
    text: str,
    model: str | None,
    system: str | None,
    files: tuple[Path, ...],
    schema: Path | None,
    prompt: str | None,
    label: str | None,
    version: int | None,
    variables: tuple[tuple[str, str], ...],
    session_id: str | None,
    continues: bool,
    temperature: float | None,
    max_tokens: int | None,
    preview: bool,
    verbose: bool,
    output: str,
) -> None:
    """Ask a model. Without TEXT at a terminal: a conversation.

    \b
    genai chat "Why is the sky blue?" --model gpt-4o
    git diff | genai chat "Write a commit message for this."

    What comes by standard input is appended to TEXT.
    """
    if (label or version or variables) and not prompt:
        raise click.UsageError("--label, --version and --var are those of a prompt: name it with --prompt")
    if not (model or prompt or read_variable(MODEL_VARIABLE)):
        raise click.UsageError("name a model with --model or GENAI_MODEL; `genai models list` shows the names")
    if continues and session_id is None and not (session_id := last_session()):
        raise click.UsageError("there is no conversation to continue: begin one with `genai chat`, or name a --session")
    fields: dict[str, Any] = {"model": model, "temperature": temperature, "max_tokens": max_tokens}
    if prompt:
        fields["prompt"] = {"name": prompt, "label": label, "version": version, "variables": dict(variables)}
    asked = _read_input(text)
    if not asked and not files:
        if schema or preview or not sys.stdin.isatty():
            raise click.UsageError("there is nothing to ask: give a TEXT, or text by standard input")
        with opened() as platform:
            fields["model"] = _choose_model(platform, fields)
            converse(platform, session_id, system, fields)
        return
    messages = [{"role": "user", "parts": _parts(asked, files)}]
    with opened() as platform:
        try:
            fields["model"] = _choose_model(platform, fields)
            if preview:
                _preview(platform, messages, {**fields, "system": system, "session_id": session_id}, schema)
                return
            if session_id is not None:
                fields |= open_session(platform, session_id, system)
            elif system:
                fields["system"] = system
            response = _answer(platform, messages, fields, schema, output)
        except KeyboardInterrupt:
            fail_interrupted("interrupted; the call is ended, and its answer is incomplete")
    if verbose or (sys.stdout.isatty() and sys.stderr.isatty()):
        tell_usage(response)


def _choose_model(platform: GenAIPlatform, fields: Mapping[str, Any]) -> str | None:
    """The given model, or that of GENAI_MODEL for a prompt that names none; None where the prompt names one.

    Raises GenAIError.
    """
    model: str | None = fields["model"]
    default = read_variable(MODEL_VARIABLE)
    if model or not default or "prompt" not in fields:
        return model
    prompt = fields["prompt"]
    try:
        found = platform.prompts.get(prompt["name"], version=prompt["version"], label=prompt["label"])
    except PermissionDenied:
        # A key may use prompts that it cannot read. Whether the prompt names a model, the call itself will tell.
        return None
    return None if found.defaults.model else default


def _answer(platform: GenAIPlatform, messages: Any, fields: dict[str, Any], schema: Path | None, output: str) -> Any:
    """Prints an answer, and returns it."""
    if output == "text" and schema is None:
        return stream_answer(platform, messages, fields)
    if schema is None:
        response = platform.models.chat(messages, **fields)
        shown: Any = to_dict(response)
    else:
        parsed = platform.models.parse(messages, schema=_read_schema(schema), **fields)
        response = parsed.response
        shown = parsed.value if output == "text" else to_dict(response)
    _print_json(shown)
    tell_end(response)
    check_stored(response)
    return response


def _preview(platform: GenAIPlatform, messages: Any, fields: dict[str, Any], schema: Path | None) -> None:
    """Prints the body of the provider's request."""
    if schema is not None:
        fields["response_format"] = {"schema": _read_schema(schema), "strict": True}
    found = platform.models.preview_chat(messages, stream=schema is None, **fields)
    say(f"genai: {found.method} {found.path} at {found.provider}, model {found.model}")
    for notice in found.warnings:
        say(f"genai: {notice.message} [{notice.code}]")
    click.echo(printable(found.body_json))


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False))


def _read_input(text: str) -> str:
    """The text of the prompt, with what comes by standard input."""
    if sys.stdin.isatty():
        return text
    piped = _read_pipe().decode(errors="replace").strip("\n")
    return "\n\n".join(part for part in (text, piped) if part)


def _read_pipe() -> bytes:
    """All of standard input. In pieces, because Python looks for Ctrl-C between these and not while it reads on."""
    pieces, size = [], 0
    stdin = cast(BufferedReader, sys.stdin.buffer)
    while piece := stdin.read1(PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > INPUT_BYTES:
            raise click.UsageError(f"standard input has more than the {INPUT_BYTES // 1024**2} MiB that a call takes")
    return b"".join(pieces)


def _parts(text: str, files: tuple[Path, ...]) -> list[Any]:
    parts: list[Any] = [{"media": _read_media(file)} for file in files]
    return [*parts, {"text": text}] if text else parts


def _read_media(file: Path) -> Media:
    """The file as media; one whose ending is not known is a text, if it is UTF-8."""
    try:
        return Media.from_file(file)
    except ValueError:
        data = file.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError:
        raise click.BadParameter(f"the ending of {file.name} tells no media type, and it is no text") from None
    return Media(data=data, mime_type="text/plain", filename=file.name)


def _read_schema(file: Path) -> dict[str, Any]:
    try:
        schema = json.loads(file.read_bytes())
    except ValueError as error:
        raise click.BadParameter(f"{file.name} is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise click.BadParameter(f"{file.name} is no JSON Schema: its root must be an object")
    return schema
