"""Imports point one way, and `main.py` files do not sit beside what would hide a library of theirs."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from tests.rows import for_each

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("services", "genai_platform", "proto", "examples", "benchmarks", "tests", "tools")

# What the modules of a folder may import of this project. The longest path that fits a module is its rule.
ALLOWED = {
    "genai_platform": {"genai_platform"},
    # What the command line does on the machine of the services.
    "genai_platform/cli/local.py": {"genai_platform", "services.access", "services.shared"},
    "genai_platform/cli/databases.py": {"genai_platform", "services"},
    "genai_platform/cli/doctor_services.py": {"genai_platform", "services"},
    "proto": {"proto"},
    "tools": set(),
    "services/shared": {"services.shared", "proto"},
    # Below the gateway, and below the Model Service, which asks itself who calls over HTTP.
    "services/access": {"services.access", "services.shared", "proto"},
    "services/models": {"services.models", "services.shared", "proto"},
    "services/models/main.py": {"services.models", "services.access", "services.shared", "proto"},
    "services/models/settings.py": {"services.models", "services.access", "services.shared", "proto"},
    "services/sessions": {"services.sessions", "services.shared", "proto"},
    "services/gateway": {"services.gateway", "services.access", "services.shared", "proto"},
}

# The rooms of the Model Service, those that others stand on last. Each may import of the others what it names here.
ROOMS = {
    "main": {"servicer", "chat", "routing", "custom_models", "health", "catalog", "sessions", "prompts", "settings"}
    | {"access", "attempts", "calls", "capture", "http_port", "ledger", "limits", "transport", "metrics"},
    "metrics": {"catalog", "health"},
    "http_port": {"access", "calls", "chat", "faces", "providers", "routing", "validation"},
    "faces": {"providers", "validation"},
    "servicer": {"chat", "routing", "custom_models", "prompts", "access"},
    "chat": {"attempts", "calls", "routing", "sessions", "prompts", "providers", "access", "transport", "validation"}
    | {"capture", "ledger", "limits"},
    "settings": {"attempts", "capture", "catalog", "ledger", "limits", "transport"},
    "attempts": {"providers"},
    "calls": set(),
    "capture": set(),
    "ledger": {"access", "limits", "validation"},
    "limits": {"providers", "transport"},
    "routing": {"custom_models", "health", "catalog", "providers", "access", "transport", "validation"},
    "custom_models": {"health", "catalog", "storage", "access", "transport", "validation"},
    "health": {"catalog", "providers", "access", "transport"},
    "catalog": {"providers", "transport"},
    "sessions": {"providers", "validation"},
    "prompts": {"storage", "validation"},
    "providers": {"transport", "validation"},
    "access": {"transport"},
    "storage": set(),
    "migrations": set(),
    "transport": set(),
    "validation": set(),
}

# The same of the modules and packages of `providers`, in which OpenAI's dialects are packages of their own. A package
# of one dialect needs no row: it may import `OF_A_DIALECT`.
PROVIDER_ROOMS = {
    "host_disclosure": {"base"},
    "model_labels": {"base"},
    "call_record": {"base", "usage"},
    "forwarding": {"base", "chat", "client", "completion", "history", "framing", "http_request", "stream"},
    "token_counts": {"base", "client", "errors", "http_request"},
    "chat": {"answers", "base", "client", "completion", "encoding", "framing", "stream", "usage"},
    "completion": {"answers", "base", "errors", "usage"},
    "usage": {"answers", "base"},
    "stream": {"answers", "base", "client", "errors", "framing"},
    "client": {"answers", "base", "errors", "http_request", "rate_limits"},
    "rate_limits": {"base"},
    "framing": {"answers", "base", "errors"},
    "encoding": {"base", "history", "lowered_tools", "requests"},
    "vllm": {"openai.chat_completions", "openai.common"},
    "openai.select": {
        "http_request",
        "openai.chat_completions",
        "openai.common",
        "openai.responses",
        "base",
        "requests",
    },
    "openai.chat_completions": {
        "openai.embeddings",
        "openai.common",
        "answers",
        "base",
        "errors",
        "http_request",
        "requests",
        "state",
    },
    "openai.responses": {"openai.common", "answers", "base", "errors", "http_request", "names", "requests", "state"},
    "openai.embeddings": {"answers", "base", "errors", "http_request", "requests"},
    "openai.common": {"base", "facts", "names", "requests", "schemas", "state"},
    "lowered_tools": {"base", "notices", "requests"},
    "history": {"base", "names", "notices", "state"},
    "requests": {"base", "facts", "http_request", "notices"},
    "base": {"answers", "errors", "facts", "http_request", "names", "schemas", "timeouts"},
    "endpoints": set(),
    "answers": {"errors", "names"},
    "schemas": {"notices"},
    "facts": {"names"},
    "errors": set(),
    "http_request": set(),
    "names": set(),
    "notices": set(),
    "timeouts": set(),
    "state": set(),
}

OF_A_DIALECT = {
    "answers",
    "base",
    "errors",
    "facts",
    "http_request",
    "names",
    "notices",
    "requests",
    "schemas",
    "state",
}
PROVIDERS = ROOT / "services" / "models" / "providers"
DIALECTS = {path.parent.name for path in PROVIDERS.glob("*/dialect.py")}
"""The packages of one dialect, which no other module of `providers` knows."""


def modules(folder: str) -> list[Path]:
    """The modules of a folder, or the one module that is named."""
    if folder.endswith(".py"):
        return [ROOT / folder]
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def has_own_rule(path: Path, folder: str) -> bool:
    """Whether a module of a folder has a rule of its own."""
    return folder != (own := path.relative_to(ROOT).as_posix()) and own in ALLOWED


@functools.cache
def imported(path: Path) -> list[str]:
    """The absolute names of all modules that a file imports, anywhere in it; `a.b` for `from a import b`, too."""
    return list(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative path"
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@for_each("folder", ALLOWED)
def test_modules_import_only_what_lies_below_them(folder: str) -> None:
    found = modules(folder)
    assert found
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in found
        for name in imported(path)
        if name.split(".")[0] in FOLDERS
        and not has_own_rule(path, folder)
        and not any(is_within(name, package) for package in ALLOWED[folder])
    ]
    assert not wrong


def test_the_halves_of_the_sdk_do_not_import_each_other() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for half, other in (("_async", "_sync"), ("_sync", "_async"))
        for path in modules(f"genai_platform/{half}")
        for name in imported(path)
        if is_within(name, f"genai_platform.{other}")
    ]
    assert not wrong


def test_every_package_of_the_services_has_a_rule() -> None:
    packages = {path.parent for path in (ROOT / "services").glob("*/__init__.py")}
    assert {str(package.relative_to(ROOT)) for package in packages} == {
        folder for folder in ALLOWED if folder.startswith("services/") and not folder.endswith(".py")
    }


def room(name: str, package: str, rooms: Collection[str]) -> str:
    """The room of a module below a package: the longest that it is in, or the part of its name behind the package."""
    inner = name.removeprefix(package).removeprefix(".")
    within = [known for known in rooms if is_within(inner, known)]
    return max(within, key=len, default=inner.partition(".")[0])


def arrows(package: str, rooms: Collection[str]) -> dict[str, set[str]]:
    """What the modules of each room below a package import of the others."""
    taken: dict[str, set[str]] = {}
    for path in modules(package.replace(".", "/")):
        here = room(".".join(path.relative_to(ROOT).with_suffix("").parts), package, rooms)
        names = {room(name, package, rooms) for name in imported(path) if is_within(name, package)}
        if names or path.name != "__init__.py":
            taken.setdefault(here, set()).update(names - {here})
    return taken


every_order = for_each(
    ("package", "rooms"), [("services.models", ROOMS), ("services.models.providers", PROVIDER_ROOMS)]
)


@every_order
def test_rooms_import_only_those_below_them(package: str, rooms: Mapping[str, set[str]]) -> None:
    found = arrows(package, rooms)
    assert {name: taken for name, taken in found.items() if name not in DIALECTS} == rooms


def test_dialects_import_what_all_dialects_share_and_nothing_else_knows_them() -> None:
    found = arrows("services.models.providers", PROVIDER_ROOMS)
    assert found.keys() >= DIALECTS
    assert {name: found[name] - OF_A_DIALECT for name in DIALECTS} == {name: set() for name in DIALECTS}
    assert not DIALECTS & set().union(*found.values())


@every_order
def test_rooms_stand_in_order(package: str, rooms: Mapping[str, set[str]]) -> None:
    order = list(rooms)
    rising = [(upper, lower) for upper in rooms for lower in rooms[upper] if order.index(lower) <= order.index(upper)]
    assert not rising


def test_every_package_says_in_one_sentence_what_it_is() -> None:
    for path in (ROOT / "services" / "models").rglob("__init__.py"):
        described = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert described, path


def test_nothing_but_tests_imports_tests_and_benchmarks_only_what_supports_them() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in set(FOLDERS) - {"tests"}
        for path in modules(folder)
        for name in imported(path)
        if is_within(name, "tests") and not (folder == "benchmarks" and is_within(name, "tests.support"))
    ]
    assert not wrong


def test_services_carry_no_generation_over_the_vendors_sdks() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("services")
        for name in imported(path)
        if name.split(".")[0] in ("openai", "anthropic")
    ]
    assert not wrong


@for_each("main", sorted((ROOT / "services").glob("*/main.py")), ids=lambda path: path.parent.name)
def test_nothing_beside_a_main_hides_a_library(main: Path) -> None:
    """`python services/models/main.py` puts the folder first on the path: its modules come before all libraries."""
    beside = {path.stem for path in main.parent.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    libraries = set(metadata.packages_distributions()) | set(sys.stdlib_module_names)
    assert not beside & libraries - {"__init__"}


def test_proto_is_a_namespace_package() -> None:
    """Google's proto-plus owns the same name; without an __init__.py the two install beside each other."""
    assert not (ROOT / "proto" / "__init__.py").exists()
