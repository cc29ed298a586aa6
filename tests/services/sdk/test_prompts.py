"""`platform.prompts` against the real registry.

The asynchronous client takes all tests; the blocking one, which is generated from it, takes one.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_platform import AsyncGenAIPlatform, Conflict, FailedPrecondition, GenAIPlatform, InvalidRequest, NotFound
from genai_platform.async_prompts import AsyncPrompts
from tests.services.sdk.platform import listed, serving_platform


@pytest.fixture
async def prompts(address: str) -> AsyncIterator[AsyncPrompts]:
    async with AsyncGenAIPlatform(address) as platform:
        yield platform.prompts


@pytest.fixture
def name() -> str:
    """A prompt of the test's own."""
    return f"tests/{uuid.uuid4().hex}"


def test_the_blocking_client_has_the_same_prompts(address: str, name: str, tmp_path: Path) -> None:
    with GenAIPlatform(address) as platform:
        prompts = platform.prompts
        for content in ("Hello {{who}}", "Bye {{who}}"):
            prompts.promote(name, prompts.register(name, content).version)
        assert prompts.get(name).version == 2
        assert prompts.rollback(name).prompt.version == 1
        assert prompts.render(name, {"who": "Ada"}).text == "Hello Ada"
        assert prompts.diff(name, 1, 1) == ""
        prompts.archive(name, 2)
        assert [prompt.version for prompt in prompts.versions(name)] == [1]
        prompts.unarchive(name, 2)
        assert [event.version for event in prompts.history(name)][:2] == [2, 2]
        assert [prompt.name for prompt in prompts.list(query=name)] == [name]
        assert f"{name}/v2.md" in prompts.export_to(tmp_path).written
        (tmp_path / name / "v3.md").write_text("By hand.")
        assert prompts.import_from(tmp_path).registered == ((name, 3),)


async def test_a_prompt_is_registered_with_all_that_stands_beside_it(prompts: AsyncPrompts, name: str) -> None:
    registered = await prompts.register(
        name,
        "Hello {{who}}",
        labels=["staging"],
        author="Ann",
        reviewed_by="Bob",
        tags=["greeting"],
        message="first",
        defaults={"model": "gpt-4o", "config": {"temperature": 0}},
    )
    assert (registered.version, registered.created) == (1, True)
    prompt = await prompts.get(name, label="staging")
    assert prompt == await prompts.get(name, label="staging"), "the remembered one is the same"
    assert (prompt.content, prompt.commit_message, prompt.labels) == ("Hello {{who}}", "first", ["staging"])
    assert (prompt.metadata.author, prompt.metadata.reviewed_by, prompt.metadata.tags) == ("Ann", "Bob", ["greeting"])
    assert (prompt.defaults.model, prompt.defaults.config.temperature) == ("gpt-4o", 0)
    again = await prompts.register(name, "Hello {{who}}", defaults=prompt.defaults)
    assert (again.version, again.created) == (1, False)


async def test_a_label_is_promoted_by_compare_and_set_and_seen_at_once_by_the_same_client(
    prompts: AsyncPrompts, name: str
) -> None:
    for content in ("One.", "Two."):
        await prompts.register(name, content)
    assert (await prompts.promote(name, 1, reason="start", actor="Ann")).previous_version == 0
    assert (await prompts.get(name)).resolved_label == "production"
    with pytest.raises(Conflict):
        await prompts.promote(name, 2, expected_version=2)
    moved = await prompts.promote(name, 2, expected_version=1)
    assert moved.previous_version == 1
    assert (await prompts.get(name)).content == "Two."
    events = await listed(prompts.history(name))
    assert [(event.type, event.version) for event in events[:2]] == [("label_set", 2), ("label_set", 1)]
    assert (events[1].reason, events[1].actor) == ("start", "Ann")


async def test_rolling_back_goes_back_and_further_back_and_then_refuses(prompts: AsyncPrompts, name: str) -> None:
    for content in ("One.", "Two.", "Three."):
        version = (await prompts.register(name, content)).version
        await prompts.promote(name, version)
    assert (await prompts.rollback(name, actor="Ann")).prompt.version == 2
    assert (await prompts.get(name)).content == "Two."
    assert (await prompts.rollback(name)).prompt.version == 1
    with pytest.raises(FailedPrecondition, match="has pointed at no other version before") as refused:
        await prompts.rollback(name)
    assert refused.value.reason == "NO_PREVIOUS_VERSION"
    await prompts.promote(name, 3)
    assert (await prompts.rollback(name)).prompt.version == 1


async def test_a_label_that_was_removed_is_rolled_back_to_where_it_was(prompts: AsyncPrompts, name: str) -> None:
    await prompts.register(name, "One.", labels=["canary"])
    await prompts.promote(name, 0, "canary")
    with pytest.raises(NotFound):
        await prompts.get(name, label="canary")
    assert (await prompts.rollback(name, "canary")).prompt.version == 1


async def test_rolling_back_a_label_or_prompt_that_never_was_refuses(prompts: AsyncPrompts, name: str) -> None:
    with pytest.raises(NotFound):
        await prompts.rollback(name)
    await prompts.register(name, "One.")
    with pytest.raises(FailedPrecondition, match="label nowhere"):
        await prompts.rollback(name, "nowhere")


async def test_a_prompt_is_rendered(prompts: AsyncPrompts, name: str) -> None:
    await prompts.register(name, "Hello {{who}}, {{again}}", labels=["v"])
    rendered = await prompts.render(name, {"who": "{{again}}", "again": "x"}, label="v")
    assert (rendered.text, rendered.prompt.version) == ("Hello {{again}}, x", 1)
    with pytest.raises(InvalidRequest, match="who, again"):
        await prompts.render(name)
    with pytest.raises(TypeError, match="not both"):
        await prompts.render(name, {}, version=1, label="v")


async def test_the_diff_shows_content_and_defaults(prompts: AsyncPrompts, name: str) -> None:
    await prompts.register(name, "Same.\nOld.\n", defaults={"model": "gpt-4o"})
    await prompts.register(name, "Same.\nNew.", defaults={"model": "gpt-4o-mini"}, labels=["new"])
    assert await prompts.diff(name, 1, "new") == (
        f"--- {name} v1\n+++ {name} v2\n@@ -1,2 +1,2 @@\n Same.\n-Old.\n+New.\n\\ No newline at end of file\n"
        f"--- {name} v1 defaults\n+++ {name} v2 defaults\n"
        '@@ -1,3 +1,3 @@\n {\n-  "model": "gpt-4o"\n+  "model": "gpt-4o-mini"\n }\n'
    )
    assert await prompts.diff(name, 2, "new") == ""


async def test_lists_go_over_all_pages(prompts: AsyncPrompts, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai_platform._async.prompts.PAGE_SIZE", 2)
    for number in range(5):
        await prompts.register(name, f"Number {number}.")
        await prompts.register(f"{name}/{number}", "One.", tags=["paged", name[-8:]])
    assert [prompt.version for prompt in await listed(prompts.versions(name))] == [5, 4, 3, 2, 1]
    tagged = await listed(prompts.list(query=name, tags=["paged"]))
    assert [prompt.name for prompt in tagged] == [f"{name}/{number}" for number in range(5)]
    assert len(await listed(prompts.history(name))) == 5


async def test_an_archived_version_is_hidden_and_comes_back(prompts: AsyncPrompts, name: str) -> None:
    for content in ("One.", "Two."):
        await prompts.register(name, content)
    await prompts.archive(name, 2, reason="wrong")
    assert [prompt.version for prompt in await listed(prompts.versions(name))] == [1]
    assert (await prompts.get(name)).content == "One."
    await prompts.unarchive(name, 2)
    assert (await prompts.get(name)).content == "Two."


async def test_a_text_where_a_list_is_meant_is_a_type_error(prompts: AsyncPrompts, name: str) -> None:
    with pytest.raises(TypeError, match="labels: must be a list of texts, not one text"):
        await prompts.register(name, "One.", labels="production")


# ------------------------------------------------------------------------------------------ export, import


CONTENTS = ["Plain.\n", "No line feed at the end", "\r\nWindows\r\n\rand old Mac\r", " \u2028\u0085\ufeff🎉\n\n"]


async def fill(prompts: AsyncPrompts) -> None:
    """Prompts with everything that files must carry."""
    for number, content in enumerate(CONTENTS):
        await prompts.register("support/answer", content, message=f"change {number}", tags=["a"], author="Ä")
    await prompts.promote("support/answer", 2)
    await prompts.promote("support/answer", 4, "staging")
    await prompts.archive("support/answer", 1)
    defaults = {"config": {"temperature": 0, "seed": 2**60}, "tools": [{"name": "f", "parameters_json": "{ }"}]}
    await prompts.register("support", "Short.", defaults=defaults)
    for name in ("a/..", "a//b/", "a/.git/x", "a/v1.md", "a/prompt.json", "a"):
        await prompts.register(name, "One.")
    # What was archived can be registered once more: two versions of one content, both brought back.
    await prompts.archive("a", 1)
    await prompts.register("a", "One.")
    await prompts.unarchive("a", 1)
    await prompts.register("gone", "Gone.")
    await prompts.archive("gone")


def read_files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def test_exported_prompts_come_back_in_a_fresh_platform_byte_for_byte(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (tmp_path / "one", tmp_path / "two"):
        directory.mkdir()
    async with serving_platform(tmp_path / "one") as address, AsyncGenAIPlatform(address) as platform:
        await fill(platform.prompts)
        written = await platform.prompts.export_to(first)
        assert not written.unchanged
        assert not written.unknown
        again = await platform.prompts.export_to(first)
        assert (again.written, set(again.unchanged)) == ((), set(written.written) - {".gitattributes"})
        same = await platform.prompts.import_from(first)
        assert str(same).startswith(f"0 versions registered, {len(same.unchanged)} unchanged, 0 labels moved, 0 ")
        assert not same.unarchived
    async with serving_platform(tmp_path / "two") as address, AsyncGenAIPlatform(address) as platform:
        report = await platform.prompts.import_from(first, actor="ci")
        assert ("support/answer", 4) in report.registered
        assert report.labels == (("support/answer", "production", 2), ("support/answer", "staging", 4))
        assert set(report.archived) == {("gone", 1), ("support/answer", 1)}
        await platform.prompts.export_to(second)
        assert [prompt.content for prompt in await listed(platform.prompts.versions("support/answer"))] == [
            *reversed(CONTENTS[1:])
        ]
        assert (await listed(platform.prompts.history("support/answer")))[0].actor == "ci"
    assert read_files(first) == read_files(second)
    assert (first / "support/answer/v3.md").read_bytes() == CONTENTS[2].encode()


async def test_a_version_written_by_hand_is_imported_and_labelled(
    prompts: AsyncPrompts, name: str, tmp_path: Path
) -> None:
    await prompts.register(name, "One.", labels=["production"])
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "v1.md").write_text("One.")
    (folder / "v2.md").write_text("Two.\n")
    (folder / "README.md").write_text("Anything.")
    (folder / "prompt.json").write_text('{"labels": {"production": 2}}')
    report = await prompts.import_from(tmp_path)
    assert (report.registered, report.unchanged) == (((name, 2),), ((name, 1),))
    assert (await prompts.get(name)).content == "Two.\n"


async def test_a_version_that_differs_from_the_platform_changes_nothing(
    prompts: AsyncPrompts, name: str, tmp_path: Path
) -> None:
    await prompts.register(f"{name}/b", "One.")
    for part, content in (("a", "New."), ("b", "Other.")):
        folder = tmp_path / name / part
        folder.mkdir(parents=True)
        (folder / "v1.md").write_text(content)
        (folder / "prompt.json").write_text("{}")
    with pytest.raises(Conflict, match="nothing was changed") as refused:
        await prompts.import_from(tmp_path)
    assert [violation.field for violation in refused.value.violations] == [f"{name}/b/v1.md"]
    with pytest.raises(NotFound):
        await prompts.get(f"{name}/a")


async def test_files_of_prompts_that_the_platform_does_not_have_are_named_and_left(
    prompts: AsyncPrompts, tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger/v1.md").write_text("Mine.")
    report = await prompts.export_to(tmp_path)
    assert "stranger/v1.md" in report.unknown
    assert (tmp_path / "stranger/v1.md").read_text() == "Mine."
