"""Writes the locks: what is installed, with hashes, from what pyproject.toml and services/pyproject.toml ask for.

`python requirements/lock.py` resolves each dependency group to `requirements/<group>.lock`, for every platform and
Python that the project runs on, and writes requirements.txt: the versions of workshop.lock without hashes, which pip
cannot take beside `-e`. What is locked stays as it is unless pyproject.toml asks for another version, or `--upgrade` is
given.

`python requirements/lock.py --check` fails where they disagree with pyproject.toml or with each other, and asks no
index.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Written by `make lock` from pyproject.toml, where it stands what is asked for and why.\n"
BUILD = "build-system.requires"
SERVICES = "services.dependencies"
OWN = ("genai-platform", "genai-platform-services")

# Each group, and what uv resolves beside it. The services come after the workshop, from which they have their versions.
GROUPS = {
    "workshop": ("pyproject.toml", SERVICES, BUILD),
    "services": ("pyproject.toml", SERVICES),
    "local-model": ("--no-deps",),
    "pictures": (),
    "clients": (),
    "tools": (),
}

ENTRY = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.+!]+)(?: ; (?P<marker>.+?))?(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64})+)"
)


class Entry(NamedTuple):
    name: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]

    def pin(self) -> str:
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


def entries(lock: str) -> list[Entry]:
    """The entries of a lock's text. Raises ValueError for whatever is no pin with hashes: a URL, an option, a range."""
    found = []
    for line in re.sub(r"^ *#.*\n", "", lock, flags=re.MULTILINE).replace("\\\n", "").splitlines():
        entry = ENTRY.fullmatch(line)
        if not entry:
            raise ValueError(f"{line[:80]!r} is not name==version with sha256 hashes")
        found.append(Entry(entry["name"], entry["version"], entry["marker"], tuple(entry["hashes"].split())))
    return found


def requirements(workshop: list[Entry]) -> str:
    """The text of requirements.txt."""
    return f"{HEADER}-e .\n-e ./services\n" + "".join(f"{entry.pin()}\n" for entry in workshop)


def read_projects(root: Path = ROOT) -> dict[str, Any]:
    """The content of pyproject.toml, and under SERVICES what services/pyproject.toml asks for of others."""
    project, services = (
        tomllib.loads((root / folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in (".", "services")
    )
    dependencies = services["project"]["dependencies"]
    return {**project, SERVICES: [item for item in dependencies if Requirement(item).name not in OWN]}


def asked(project: dict[str, Any], group: str) -> list[Requirement]:
    """What the projects, as `read_projects` gives them, ask for directly, of all that a group's lock holds."""
    of_group: list[Any] = list(project["dependency-groups"][group])
    if BUILD in GROUPS[group]:
        of_group += project["build-system"]["requires"]
    if SERVICES in GROUPS[group]:
        of_group += project["project"]["dependencies"] + project[SERVICES]
    found = []
    for item in of_group:
        found += [Requirement(item)] if isinstance(item, str) else asked(project, item["include-group"])
    return found


def problems(root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the locks and requirements.txt, as far as pyproject.toml tells."""
    project = read_projects(root)
    locks: dict[str, list[Entry]] = {}
    for group in GROUPS:
        text = (root / "requirements" / f"{group}.lock").read_text(encoding="utf-8")
        if "/" in text:
            yield f"requirements/{group}.lock holds a URL or a path"
        try:
            locks[group] = entries(text)
        except ValueError as error:
            yield f"requirements/{group}.lock: {error}"
            return
        for requirement in asked(project, group):
            versions = [entry.version for entry in locks[group] if entry.name == canonicalize_name(requirement.name)]
            if not versions or not all(requirement.specifier.contains(version, True) for version in versions):
                yield f"requirements/{group}.lock has not what pyproject.toml asks for: {requirement}"
    if not {entry[:2] for entry in locks["services"]} <= {entry[:2] for entry in locks["workshop"]}:
        yield "requirements/services.lock is no part of requirements/workshop.lock"
    if (root / "requirements.txt").read_text(encoding="utf-8") != requirements(locks["workshop"]):
        yield "requirements.txt has not the versions of requirements/workshop.lock"


def resolve(group: str, pins: list[Entry], folder: Path, python: str) -> str:
    """The text of a group's lock, with the versions of `pins` where nothing asks for others."""
    # Without the hashes: uv would carry over what stands in its output file instead of asking the index.
    output = folder / f"{group}.lock"
    output.write_text("".join(f"{entry.pin()}\n" for entry in pins), encoding="utf-8")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", python]
    command += ["--generate-hashes", "--no-header", "--output-file", output.name, "--group", group, *GROUPS[group]]
    if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"requirements/{group}.lock cannot be resolved; nothing was written")
    return HEADER + output.read_text(encoding="utf-8")


def write(upgrade: bool) -> None:
    project = read_projects()
    oldest = project["project"]["requires-python"].removeprefix(">=")
    texts: dict[Path, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / SERVICES).write_text("\n".join(project[SERVICES]), encoding="utf-8")
        (folder / BUILD).write_text("\n".join(project["build-system"]["requires"]), encoding="utf-8")
        for group in GROUPS:
            path = ROOT / "requirements" / f"{group}.lock"
            if group == "services":
                pins = entries(texts[path.with_name("workshop.lock")])
            else:
                pins = [] if upgrade or not path.exists() else entries(path.read_text(encoding="utf-8"))
            texts[path] = resolve(group, pins, folder, oldest)
            if group == "workshop":
                texts[ROOT / "requirements.txt"] = requirements(entries(texts[path]))
    for path, text in texts.items():
        # make installs anew what is locked anew.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="raise what pyproject.toml does not pin to the newest")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something disagrees")
    arguments = parser.parse_args()
    if not arguments.check:
        write(arguments.upgrade)
    if found := list(problems()):
        sys.exit("\n".join([*found, "run: make lock"]))


if __name__ == "__main__":
    main()
