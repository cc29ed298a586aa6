"""Output of commands: data on standard output, as a table, as lines with tabs or as JSON; words on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

FORMATS = ("table", "tsv", "json", "jsonl")

Columns = Mapping[str, Callable[[Any], str]]
"""The columns of a table: their titles, and the text of each for a record."""

Command = TypeVar("Command", bound=Callable[..., Any])

output_option: Callable[[Command], Command] = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Format; by default `table` on a terminal, else `tsv`."
)
quiet_option: Callable[[Command], Command] = click.option("-q", "--quiet", is_flag=True, help="Print the id alone.")


def write_records(records: Iterable[Message], columns: Columns, output: str | None) -> None:
    """Writes a list."""
    match output or ("table" if sys.stdout.isatty() else "tsv"):
        case "json":
            click.echo(json.dumps([_plain(record) for record in records], indent=2, ensure_ascii=False))
        case "jsonl":
            for record in records:
                click.echo(json.dumps(_plain(record), ensure_ascii=False))
        case "tsv":
            for record in records:
                click.echo("\t".join(_cell(text(record)) for text in columns.values()))
        case _:
            rows = [[_cell(text(record)) for text in columns.values()] for record in records]
            _write_table([list(columns), *rows])


def write_record(record: Message, columns: Columns, output: str | None) -> None:
    """Writes one record: a line for each column, or JSON."""
    match output or ("table" if sys.stdout.isatty() else "tsv"):
        case "json":
            click.echo(json.dumps(_plain(record), indent=2, ensure_ascii=False))
        case "jsonl":
            click.echo(json.dumps(_plain(record), ensure_ascii=False))
        case "tsv":
            for title, text in columns.items():
                click.echo(f"{title}\t{_cell(text(record))}")
        case _:
            _write_table([[title, _cell(text(record))] for title, text in columns.items()])


def say(text: str) -> None:
    """Says something to the person at the terminal."""
    click.echo(text, err=True)


def moment(timestamp: Timestamp) -> str:
    """A time as tables show it; `-` for none."""
    if not timestamp.ToMicroseconds():
        return "-"
    return datetime.fromtimestamp(timestamp.ToMicroseconds() / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def words(values: Iterable[str]) -> str:
    """A list in one cell; `*` for none, which means all."""
    return ",".join(values) or "*"


def _plain(record: Message) -> dict[str, Any]:
    plain: dict[str, Any] = json_format.MessageToDict(record, preserving_proto_field_name=True)
    return plain


def _cell(text: str) -> str:
    return text.replace("\t", " ").replace("\n", " ") or "-"


def _write_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
