"""What is installed is locked whole, with hashes, at the versions that pyproject.toml asks for."""

from __future__ import annotations

import re
import shutil
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import genai_platform
from requirements.lock import GROUPS, ROOT, asked, entries, problems, read_projects
from tests.rows import for_each

PROJECT = read_projects()


def lock(group: str) -> str:
    return (ROOT / "requirements" / f"{group}.lock").read_text(encoding="utf-8")


def needed(requirements: list[Requirement]) -> set[str]:
    """The names of all that is installed for these in this environment, in turn."""
    todo = list(requirements)
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        one = todo.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        todo += [
            found
            for found in map(Requirement, metadata.requires(one.name) or [])
            if not found.marker or any(found.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
        ]
    return {name for name, _ in seen}


@for_each("group", GROUPS)
def test_lock_is_pins_and_hashes(group: str) -> None:
    for line in lock(group).splitlines():
        assert re.fullmatch(r" *# [^/]*|[a-z0-9-]+==[^/@]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line
    assert all(entry.hashes for entry in entries(lock(group)))


@for_each("group", ["services", "workshop"])
def test_lock_is_what_the_group_needs_in_turn(group: str) -> None:
    locked = {entry.name for entry in entries(lock(group)) if not entry.marker or Marker(entry.marker).evaluate()}
    assert locked == needed(asked(PROJECT, group))


def test_plain_installation_has_the_same_versions() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "-e .",
        "-e ./services",
        *(entry.pin() for entry in entries(lock("workshop"))),
    ]


def test_groups_and_build_pin_what_they_ask_for() -> None:
    items = [item for group in PROJECT["dependency-groups"].values() for item in group if isinstance(item, str)]
    for item in items + PROJECT["build-system"]["requires"]:
        asked, _, _ = item.partition(";")
        assert re.fullmatch(r"[^=<>~!]+==[^=<>~!*,]+", asked), item


def test_build_asks_for_all_that_it_fetches() -> None:
    build = [Requirement(item) for item in PROJECT["build-system"]["requires"]]
    assert needed(build) == {canonicalize_name(requirement.name) for requirement in build}


def test_both_distributions_are_of_one_version_and_built_alike() -> None:
    services = tomllib.loads((ROOT / "services" / "pyproject.toml").read_text(encoding="utf-8"))
    version = PROJECT["project"]["version"]
    assert version == services["project"]["version"] == genai_platform.__version__
    assert f"genai-platform=={version}" in services["project"]["dependencies"]
    assert services["build-system"] == PROJECT["build-system"]


def test_sdk_alone_takes_click_grpc_and_protobuf() -> None:
    requires = [Requirement(item) for item in metadata.requires("genai-platform") or []]
    assert {one.name for one in requires if not one.marker} == {"click", "grpcio", "grpcio-status", "protobuf"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "services").mkdir()
    for name in ("pyproject.toml", "requirements.txt", "services/pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


PIN = r"grpcio==(?P<rest>.* \\\n)"


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "problem"),
    [
        ("pyproject.toml", '"grpcio==.*"', '"grpcio==9"', "has not what pyproject.toml asks for: grpcio==9"),
        ("pyproject.toml", '"grpcio>=.*"', '"grpcio>=9"', "has not what pyproject.toml asks for: grpcio>=9"),
        ("services/pyproject.toml", '"idna>=.*"', '"idna>=9"', "has not what pyproject.toml asks for: idna>=9"),
        ("pyproject.toml", '"pluggy==.*"', '"pluggy==9"', "has not what pyproject.toml asks for: pluggy==9"),
        ("pyproject.toml", '"uv==', '"more==1", "uv==', "has not what pyproject.toml asks for: more==1"),
        ("requirements/services.lock", "greenlet==.*? ", "greenlet==9 ", "is no part of requirements/workshop.lock"),
        ("requirements/workshop.lock", "idna==.*? ", "idna==9 ", "requirements.txt has not the versions"),
        (
            "requirements/workshop.lock",
            PIN + r"( +--hash.*\n)+",
            r"grpcio==1.85.1\n",
            "is not name==version with sha256",
        ),
        ("requirements/workshop.lock", PIN, r"grpcio>=\g<rest>", "is not name==version with sha256"),
        ("requirements/workshop.lock", "^", "--index-url https://index.example/simple\n", "holds a URL or a path"),
        ("requirements/workshop.lock", "^", "-e .\n", "is not name==version with sha256"),
        ("requirements/tools.lock", r"sha256:\w{4}", "sha256:", "is not name==version with sha256"),
        ("requirements.txt", "idna==.*", "idna==9", "requirements.txt has not the versions"),
    ],
)
def test_check_names_what_disagrees(copy: Path, file: str, pattern: str, replacement: str, problem: str) -> None:
    assert list(problems(copy)) == []
    text = (copy / file).read_text(encoding="utf-8")
    damaged = re.sub(pattern, replacement, text, count=1)
    assert damaged != text
    (copy / file).write_text(damaged, encoding="utf-8")
    assert any(problem in found for found in problems(copy))
