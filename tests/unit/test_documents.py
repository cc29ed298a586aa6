"""The documents name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.rows import for_each

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "services",
    "genai_platform",
    "proto",
    "examples",
    "tests",
    "benchmarks",
    "docs",
    "requirements",
    "tools",
    "deploy",
)
NAMED_FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|proto|json|lock|yml))`")


@for_each("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_documents_name_files_that_exist(document: str) -> None:
    files = [path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]
    files += [path.name for path in ROOT.iterdir()]
    named = set(NAMED_FILE.findall((ROOT / document).read_text(encoding="utf-8")))
    assert named
    missing = [name for name in sorted(named) if not any(f"/{file}".endswith(f"/{name}") for file in files)]
    assert not missing
