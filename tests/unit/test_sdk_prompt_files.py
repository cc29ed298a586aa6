"""The files of prompts: where they may lie, and what is refused before anything is done."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_platform import InvalidRequest, Prompt
from genai_platform.prompt_files import record_prompt, write_records
from genai_platform.prompt_folders import folder_of, name_of
from genai_platform.prompt_reading import read_records
from tests.rows import for_each

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._/-]{0,30}", fullmatch=True)


def write(directory: Path, **files: str | bytes) -> None:
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


def problems(directory: Path) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refused:
        read_records(directory)
    assert refused.value.reason == "PROMPT_FILES_INVALID"
    return {violation.field: violation.description for violation in refused.value.violations}


def exported(directory: Path, *prompts: Prompt) -> None:
    write_records(directory, [record_prompt(prompts[0].name, prompts)])


@given(NAMES)
def test_every_name_has_a_folder_of_its_own_inside_the_directory(name: str) -> None:
    folder = folder_of(name)
    assert name_of(folder) == name
    assert not folder.is_absolute()
    assert not any(part.startswith(".") or part == "prompt.json" or part.endswith(".md") for part in folder.parts)


@for_each(
    ("name", "folder"),
    [
        ("support/answer", "support/answer"),
        ("v1.2", "v1.2"),
        ("a/../b", "a/%2E%2E/b"),
        ("a/.git/hooks", "a/%2Egit/hooks"),
        ("a//b/", "a/%/b/%"),
        ("a/v1.md", "a/v1%2Emd"),
        ("a/prompt.json", "a/prompt%2Ejson"),
    ],
)
def test_names_that_would_lead_elsewhere_are_escaped(name: str, folder: str) -> None:
    assert str(folder_of(name)) == folder


@for_each("folder", ["A", "a/%2e", "a/%2Eb%", "ä", "a b", "a/%41", "."])
def test_other_folders_are_nobodys(folder: str) -> None:
    assert name_of(PurePosixPath(folder)) is None


@settings(max_examples=50)
@given(content=st.text(min_size=1, max_size=50), message=st.text(max_size=20))
def test_texts_come_back_as_they_were(tmp_path_factory: Any, content: str, message: str) -> None:
    directory = tmp_path_factory.mktemp("export")
    prompt = Prompt(name="a", version=1, content=content, commit_message=message, labels=["production"])
    exported(directory, prompt)
    (record,) = read_records(directory)
    assert record.labels == {"production": 1}
    prompt.ClearField("labels")
    assert list(record.versions) == [prompt]


def test_writing_again_touches_nothing(tmp_path: Path) -> None:
    prompt = Prompt(name="a", version=1, content="One.")
    exported(tmp_path, prompt)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    exported(tmp_path, prompt)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_own_git_attributes_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").write_text("mine\n")
    exported(tmp_path, Prompt(name="a", version=1, content="One."))
    assert (tmp_path / ".gitattributes").read_text() == "mine\n"


def test_a_directory_that_is_not_there_is_refused_and_an_empty_one_is_empty(tmp_path: Path) -> None:
    assert read_records(tmp_path) == []
    with pytest.raises(NotADirectoryError, match="nowhere"):
        read_records(tmp_path / "nowhere")


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "prompt.json": "{}",
            "Upper/v1.md": "x",
            "Upper/prompt.json": "{}",
            "alone/v1.md": "x",
            "binary/v1.md": b"\xff",
            "binary/prompt.json": "{}",
            "gap/v1.md": "x",
            "gap/v3.md": "x",
            "gap/prompt.json": "{}",
            "list/v1.md": "x",
            "list/prompt.json": "[]",
            "torn/v1.md": "x",
            "torn/prompt.json": '{"labels": ',
            "zero/v01.md": "x",
        },
    )
    assert problems(tmp_path) == {"zero/v01.md": "is not how a version's file is called, such as v1.md"}
    (tmp_path / "zero/v01.md").unlink()
    assert problems(tmp_path) == {
        ".": "is no folder of a prompt: its path is the prompt's name, as export_to writes it",
        "Upper": "is no folder of a prompt: its path is the prompt's name, as export_to writes it",
        "alone/prompt.json": "is missing; an empty one is {}",
        "binary/v1.md": "is not UTF-8 text",
        "gap/v2.md": "is missing; versions follow each other from 1",
        "list/prompt.json": "must be an object of labels and versions",
        "torn/prompt.json": "is no JSON",
    }


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ('{"label": {}}', "must be an object of labels and versions"),
        ('{"labels": []}', "labels must be an object"),
        ('{"labels": {"production": 2}}', "its version one that is there"),
        ('{"labels": {"Production": 1}}', "must be a label"),
        ('{"labels": {"production": true}}', "its version one that is there"),
        ('{"versions": 5}', "versions: each is an object"),
        ('{"versions": [{"version": 1}, {"version": 1}]}', "once"),
        ('{"versions": [{"version": 1, "file": "../../x"}]}', "versions: each is an object"),
        ('{"versions": [{"version": 2}]}', "there is no v2.md"),
        ('{"versions": [{"version": 1, "metadata": {"writer": "x"}}]}', "metadata, commit_message or defaults"),
        ('{"versions": [{"version": 1, "defaults": {"config": {"seed": 1.5}}}]}', "metadata, commit_message or defau"),
        ('{"versions": [{"version": 1, "archived": "yes"}]}', "archived must be true or false"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_facts_that_cannot_be_are_refused(facts: str, problem: str, tmp_path: Path) -> None:
    write(tmp_path, **{"a/v1.md": "x", "a/prompt.json": facts})
    assert problem in problems(tmp_path)["a/prompt.json"]


@pytest.mark.parametrize("change", [b"One.\r\n", b"One.", b"Changed.\n"])
def test_a_text_that_was_changed_after_the_export_is_refused(change: bytes, tmp_path: Path) -> None:
    exported(tmp_path, Prompt(name="a", version=1, content="One.\n"))
    (tmp_path / "a/v1.md").write_bytes(change)
    assert "is not the text that was exported" in problems(tmp_path)["a/v1.md"]


@pytest.mark.parametrize("link", ["a/v1.md", "a/prompt.json", "a"])
def test_links_are_not_followed_when_reading(link: str, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    exported(outside, Prompt(name="a", version=1, content="Secret."))
    exported(inside, Prompt(name="b", version=1, content="One."))
    (inside / "a").mkdir()
    target = inside / link
    if link == "a":
        target.rmdir()
    target.symlink_to(outside / link)
    found = problems(inside)
    assert found == {link: "is a symbolic link, which may lead out of the directory"}


@pytest.mark.parametrize("link", ["a/v1.md", "a/prompt.json", "a"])
def test_links_are_not_followed_when_writing(link: str, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (inside / link).parent.mkdir(parents=True)
    (inside / link).symlink_to(outside / link, target_is_directory=link == "a")
    with pytest.raises(InvalidRequest, match="symbolic link"):
        exported(inside, Prompt(name="a", version=1, content="One."))
    assert list(outside.iterdir()) == []


def test_hidden_folders_are_not_looked_into(tmp_path: Path) -> None:
    write(tmp_path, **{".git/v1.md": "x", "docs/notes.md": "x"})
    assert read_records(tmp_path) == []
