"""Generates the blocking half of the SDK, `genai_platform/_sync`, from the asynchronous one, `genai_platform/_async`.

    python tools/unasync.py            write the modules of `_sync`
    python tools/unasync.py --check    write nothing; exit 1 if a module is missing, out of date or without a source

Works from any working directory. The modules are committed, so that reading and installing the SDK needs no tool.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "genai_platform" / "_async"
TARGET = ROOT / "genai_platform" / "_sync"

HEADER = "# Generated from genai_platform/_async/{name} by tools/unasync.py. Change that file and run `make sdk`.\n\n"

# Applied in this order, to code and docstrings alike.
SUBSTITUTIONS = [
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        # A blocking call returns its conversation, which is a context manager itself.
        (r"^from genai_platform\.opening import opening\n", ""),
        (r"^ *@opening\n", ""),
        # A blocking call may read files in its own thread.
        (r"^import asyncio\n", ""),
        (r"\basyncio\.to_thread\((\w+), ", r"\1("),
        (r"\bAwaitable, ", ""),
        (r"\bAwaitable\[(\w+)\]", r"\1"),
        (r"\basync (?=def|for|with)", ""),
        (r"\bawait ", ""),
        (r"\b__a(enter|exit|iter)__\b", r"__\1__"),
        (r"\bgrpc\.aio\.", "grpc."),
        (r"\bgenai_platform\._async\b", "genai_platform._sync"),
        (r"\bAsync(?=[A-Z])", ""),
        (
            r"For one event loop: that of the first call, or another one once that is closed\.",
            "Safe to use from many threads, and after a fork that happens during none of its calls.",
        ),
    )
]


def generate() -> dict[Path, str]:
    """The text of every generated module by its path."""
    sources = sorted(path for path in SOURCE.glob("*.py") if path.name != "__init__.py")
    return {TARGET / path.name: _format(_translate(path), TARGET / path.name) for path in sources}


def _translate(source: Path) -> str:
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    left = re.search(r"\b(async|await|asyncio|aio|Async\w+|Awaitable)\b", text)
    if left:
        sys.exit(f"{source.relative_to(ROOT)}: no rule of tools/unasync.py translates this {left[0]!r}")
    return HEADER.format(name=source.name) + text


def _format(text: str, path: Path) -> str:
    """Sorts the imports, uses `list` and `yield from` where blocking code has them, and joins short lines."""
    for command in (["check", "--select=I,C416,UP028", "--fix-only", "--unsafe-fixes"], ["format"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--quiet", f"--stdin-filename={path}", "-"],
            input=text,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            cwd=ROOT,
            check=True,
        ).stdout
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the blocking half of the SDK.")
    parser.add_argument("--check", action="store_true", help="only say whether the generated modules are up to date")
    arguments = parser.parse_args()

    generated = generate()
    orphans = sorted(set(TARGET.glob("*.py")) - generated.keys() - {TARGET / "__init__.py"})
    if arguments.check:
        stale = [path for path, text in generated.items() if not path.is_file() or path.read_text("utf-8") != text]
        if stale or orphans:
            names = ", ".join(str(path.relative_to(ROOT)) for path in (*stale, *orphans))
            sys.exit(f"out of date: {names}; run: make sdk")
        print("the blocking half of the SDK is up to date")
        return
    for path in orphans:
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")
    for path, text in generated.items():
        path.write_text(text, encoding="utf-8")
        print(f"generated {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
