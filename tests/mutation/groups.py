"""Groups of the files that are broken, and the draw of breaks from each."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from tests.mutation.breaks import Break, find_breaks, is_python

ROOT = Path(__file__).resolve().parents[2]
PROVIDERS, SHARED = "services/models/providers", "services/shared"
DIALECTS = {
    path.parent.name.replace("_", "-"): (f"{path.parent.relative_to(ROOT).as_posix()}/*.py",)
    for path in sorted((ROOT / PROVIDERS).rglob("dialect.py"))
}
"""A group for the package of each dialect."""

GROUPS: dict[str, tuple[str, ...]] = {
    "openai": (f"{PROVIDERS}/openai/*.py", f"{PROVIDERS}/openai/common/*.py"),
    **DIALECTS,
    "exchange": (
        *(f"{PROVIDERS}/{name}.py" for name in ("chat", "client", "completion", "encoding", "stream")),
        *(f"{PROVIDERS}/answers/*.py", f"{PROVIDERS}/requests/*.py", "services/models/transport/*.py"),
    ),
    "stores": (
        *(f"services/models/{room}/*.py" for room in ("prompts", "custom_models", "storage")),
        *(f"services/sessions/{name}.py" for name in ("appends", "contexts", "expiry", "memories", "rows", "store")),
        *(f"services/sessions/{name}.py" for name in ("stored_messages", "tables", "windows")),
        *(f"{SHARED}/{name}.py" for name in ("database", "postgresql", "serial_writes", "sqlite")),
        *(f"{SHARED}/{name}.py" for name in ("transactions", "watches")),
    ),
}


def files_of(group: str, root: Path) -> list[str]:
    """The files of a group, relative to the project."""
    found = [path for pattern in GROUPS[group] for path in sorted(root.glob(pattern))]
    return [str(path.relative_to(root)) for path in found]


def draw(group: str, count: int, seed: int, root: Path) -> list[Break]:
    """So many lines of the group, each with one of its breaks. All lines are as likely, and the same seed gives the
    same breaks of the same code."""
    by_line: dict[tuple[str, int], list[Break]] = defaultdict(list)
    for file in files_of(group, root):
        for one in find_breaks(file, (root / file).read_bytes()):
            by_line[file, one.line].append(one)
    chance = random.Random(f"{seed} {group}")
    drawn: list[Break] = []
    for file, line in chance.sample(sorted(by_line), len(by_line)):
        one = chance.choice(by_line[file, line])
        if len(drawn) < count and is_python(one.apply((root / file).read_bytes())):
            drawn.append(one)
    return drawn
