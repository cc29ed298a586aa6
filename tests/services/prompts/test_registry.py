"""The PromptRegistry over real database files."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from proto import models_pb2
from services.models.prompts.prompt_registry import PromptRegistry
from services.models.prompts.templates import VARIABLE, find_lookalikes, find_variables, render, rendered_size
from services.models.prompts.version import build_version
from services.shared.database import Database
from services.shared.errors import InvalidRequest, NotFound, PlatformError
from tests.rows import row
from tests.services.prompt_registries import load, open_database, prompt


def full_prompt() -> Any:
    return prompt(
        content="Du bist {{rolle}} für {{kunde}}. {{rolle}}! 🦜",
        metadata=models_pb2.PromptMetadata(author="Åsa", reviewed_by="Bo", tags=["support", "de"]),
        commit_message="first\nversion",
        defaults=models_pb2.PromptDefaults(
            model="gpt-4o",
            config=models_pb2.ChatConfig(temperature=0.7, seed=2**60 + 1, stop_sequences=["\n\n"]),
            tools=[models_pb2.ToolDefinition(name="search", parameters_json='{"type":  "object"}')],
            response_format=models_pb2.ResponseFormat(type="text"),
        ),
    )


# -------------------------------------------------------------------------------------------------------- versions


async def test_first_version_has_all_fields(registry: PromptRegistry) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    request = full_prompt()
    response = await registry.register(request)
    stored = response.prompt
    assert (response.name, response.version, response.created) == ("support/answer", 1, True)
    assert list(response.warnings) == []
    assert (stored.name, stored.version, stored.content) == (request.name, 1, request.content)
    assert (stored.metadata, stored.commit_message) == (request.metadata, request.commit_message)
    assert stored.defaults == request.defaults
    assert list(stored.variables) == ["rolle", "kunde"]
    assert stored.created_at.endswith("Z")
    created_at = Timestamp()
    created_at.FromJsonString(stored.created_at)
    assert before <= created_at.ToDatetime(UTC) <= datetime.now(UTC)
    assert not stored.HasField("archived_at")
    assert list(stored.labels) == []
    assert await registry.get(models_pb2.GetPromptRequest(name="support/answer")) == stored


async def test_versions_count_from_one_and_the_newest_is_in_force(registry: PromptRegistry) -> None:
    versions = [(await registry.register(prompt(content=text))).version for text in ("a", "b", "c")]
    assert versions == [1, 2, 3]
    assert (await registry.resolve("support/answer")).prompt.content == "c"
    assert (await registry.resolve("support/answer", 1)).prompt.content == "a"
    second = await registry.get(models_pb2.GetPromptRequest(name="support/answer", version=2))
    assert (second.version, second.content) == (2, "b")


async def test_same_content_again_is_the_same_version(registry: PromptRegistry) -> None:
    first = await registry.register(full_prompt())
    again = await registry.register(full_prompt())
    assert (again.version, again.created, again.prompt) == (1, False, first.prompt)
    assert list(again.warnings) == []


async def test_metadata_of_identical_content_are_not_stored_with_a_warning(registry: PromptRegistry) -> None:
    await registry.register(prompt(metadata=models_pb2.PromptMetadata(author="a")))
    again = await registry.register(prompt(metadata=models_pb2.PromptMetadata(author="b"), commit_message="why"))
    assert not again.created
    assert again.prompt.metadata.author == "a"
    assert [(w.code, w.field) for w in again.warnings] == [("NOT_STORED", "metadata"), ("NOT_STORED", "commit_message")]


async def test_content_of_an_older_version_becomes_the_newest(registry: PromptRegistry) -> None:
    hashes = [(await registry.register(prompt(content=text))).prompt.content_hash for text in ("a", "b", "a")]
    assert (await registry.resolve("support/answer")).prompt.version == 3
    assert hashes[0] == hashes[2] != hashes[1]


async def test_other_defaults_are_another_version_and_empty_ones_are_none(registry: PromptRegistry) -> None:
    await registry.register(prompt())
    assert not (await registry.register(prompt(defaults=models_pb2.PromptDefaults()))).created
    zero = models_pb2.PromptDefaults(config=models_pb2.ChatConfig(temperature=0))
    assert (await registry.register(prompt(defaults=zero))).version == 2
    assert (await registry.resolve("support/answer")).prompt.defaults.config.HasField("temperature")


async def test_hash_is_that_of_content_and_defaults_in_canonical_json(registry: PromptRegistry) -> None:
    stored = (await registry.register(prompt(defaults=models_pb2.PromptDefaults(model="gpt-4o")))).prompt
    canonical = json.dumps(
        {"content": "Answer {{question}}.", "defaults": {"model": "gpt-4o"}}, sort_keys=True, separators=(",", ":")
    )
    assert stored.content_hash == hashlib.sha256(canonical.encode()).hexdigest()


async def test_registrations_at_once_get_versions_without_gaps(registry: PromptRegistry) -> None:
    responses = await asyncio.gather(*(registry.register(prompt(content=f"text {n}")) for n in range(20)))
    assert sorted(response.version for response in responses) == list(range(1, 21))
    for response in responses:
        assert (await registry.resolve("support/answer", response.version)).prompt == response.prompt


async def test_same_content_registered_at_once_is_stored_once(registry: PromptRegistry) -> None:
    responses = await asyncio.gather(*(registry.register(prompt()) for _ in range(10)))
    assert sum(response.created for response in responses) == 1
    assert {response.version for response in responses} == {1}


# ------------------------------------------------------------------------------------------------------ durability


async def test_prompts_survive_a_restart_byte_for_byte(database_url: str) -> None:
    database = await open_database(database_url)
    registry = await load(database)
    await registry.register(full_prompt())
    await registry.register(prompt(content="\ttrailing space \r\n"))
    stored = [(await registry.resolve("support/answer", version)).prompt for version in (1, 2)]
    await database.close()

    database = await open_database(database_url)
    reloaded = await load(database)
    assert [(await reloaded.resolve("support/answer", version)).prompt for version in (1, 2)] == stored
    assert (await reloaded.register(prompt(content="third"))).version == 3
    await database.close()


async def test_version_is_stored_before_the_response(database: Database, registry: PromptRegistry) -> None:
    response = await registry.register(prompt())
    assert (await (await load(database)).resolve("support/answer")).prompt == response.prompt


async def test_cancelled_registration_keeps_memory_and_database_equal(
    database: Database, registry: PromptRegistry
) -> None:
    for turns in range(0, 60, 3):
        leaving = asyncio.create_task(registry.register(prompt(content=f"left after {turns} turns")))
        for _ in range(turns):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
    await registry.register(prompt(content="last"))
    last = (await registry.resolve("support/answer")).prompt.version
    fresh = await load(database)
    for version in range(1, last + 1):
        assert (await fresh.resolve("support/answer", version)).prompt == (
            await registry.resolve("support/answer", version)
        ).prompt
    assert (await fresh.resolve("support/answer")).prompt.version == last


async def test_version_of_another_process_is_counted_and_loaded(database_url: str) -> None:
    ours, theirs = [await open_database(database_url) for _ in range(2)]
    here, there = await load(ours), await load(theirs)
    await there.register(prompt(content="theirs"))
    assert (await here.register(prompt(content="ours"))).version == 2
    assert (await here.resolve("support/answer", 1)).prompt.content == "theirs"
    assert not (await there.register(prompt(content="ours"))).created
    await ours.close()
    await theirs.close()


async def test_chats_read_without_the_database(database: Database, registry: PromptRegistry) -> None:
    await registry.register(prompt())
    await database.close()
    assert (await registry.resolve("support/answer")).prompt.version == 1
    assert (await registry.get(models_pb2.GetPromptRequest(name="support/answer", version=1))).version == 1


# ------------------------------------------------------------------------------------------------------- not found


async def test_unknown_prompt_is_answered_with_similar_names(registry: PromptRegistry) -> None:
    await registry.register(prompt("support/answer"))
    with pytest.raises(NotFound) as raised:
        await registry.resolve("support/anser")
    assert raised.value.reason == "PROMPT_NOT_FOUND"
    assert raised.value.metadata == {"prompt": "support/anser"}
    assert "support/anser; did you mean support/answer?" in raised.value.message


async def test_unknown_version_is_answered_with_the_newest_one(registry: PromptRegistry) -> None:
    await registry.register(prompt())
    for version in (2, 2**31 - 1):
        with pytest.raises(NotFound) as raised:
            await registry.get(models_pb2.GetPromptRequest(name="support/answer", version=version))
        assert raised.value.reason == "PROMPT_NOT_FOUND"
        assert raised.value.metadata["newest_version"] == "1"


async def test_very_long_unknown_name_is_answered_shortly(registry: PromptRegistry) -> None:
    await registry.register(prompt())
    with pytest.raises(NotFound) as raised:
        await registry.resolve("x" * 5_000_000)
    assert len(raised.value.message) < 300


# ------------------------------------------------------------------------------------------------------ validation


def test_wrong_field_is_named() -> None:
    for request_, field in [
        (prompt(name=""), "name"),
        (prompt(name="Support"), "name"),
        (prompt(name="-a"), "name"),
        (prompt(name="a" * 129), "name"),
        (prompt(name="a\n"), "name"),
        (prompt(content=""), "content"),
        (prompt(content=" \n"), "content"),
        (prompt(content="a\0b"), "content"),
        (prompt(content="é" * (512 * 1024) + "e"), "content"),
        (prompt(commit_message="m" * 4097), "commit_message"),
        (prompt(metadata=models_pb2.PromptMetadata(author="a" * 257)), "metadata.author"),
        (prompt(metadata=models_pb2.PromptMetadata(reviewed_by="a\nb")), "metadata.reviewed_by"),
        (prompt(metadata=models_pb2.PromptMetadata(tags=["ok", ""])), "metadata.tags[1]"),
        (prompt(metadata=models_pb2.PromptMetadata(tags=["t"] * 65)), "metadata.tags"),
        (prompt(defaults=models_pb2.PromptDefaults(model="m" * 300)), "defaults.model"),
        (
            prompt(defaults=models_pb2.PromptDefaults(config=models_pb2.ChatConfig(temperature=3))),
            "defaults.config.temperature",
        ),
        (
            prompt(
                defaults=models_pb2.PromptDefaults(
                    tools=[models_pb2.ToolDefinition(name="t", parameters_json="{" * 100)]
                )
            ),
            "defaults.tools[0].parameters_json",
        ),
        (
            prompt(
                defaults=models_pb2.PromptDefaults(
                    response_format=models_pb2.ResponseFormat(type="json_schema", schema_json="[]")
                )
            ),
            "defaults.response_format.schema_json",
        ),
    ]:
        with row(field):
            with pytest.raises(InvalidRequest) as raised:
                build_version(request_)
            assert [violation.field for violation in raised.value.violations] == [field]


async def test_every_wrong_field_is_named_at_once_and_nothing_is_stored(registry: PromptRegistry) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await registry.register(models_pb2.RegisterPromptRequest())
    assert [violation.field for violation in raised.value.violations] == ["name", "content"]
    assert (await registry.list(models_pb2.ListPromptsRequest())).prompts == []


async def test_content_of_just_one_mebibyte_is_taken(registry: PromptRegistry) -> None:
    assert (await registry.register(prompt(content="é" * (512 * 1024)))).created


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (models_pb2.GetPromptRequest(), "name"),
        (models_pb2.GetPromptRequest(name="a", version=-1), "version"),
        (models_pb2.GetPromptRequest(name="a", version=1, label="b"), "label"),
    ],
)
async def test_invalid_reference_is_refused(
    registry: PromptRegistry, request_: models_pb2.GetPromptRequest, field: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await registry.get(request_)
    assert raised.value.violations[0].field == field


# -------------------------------------------------------------------------------------------------------- listings


async def test_listing_has_each_name_once_with_its_version_in_force(registry: PromptRegistry) -> None:
    for name, content in [("b", "1"), ("a", "1"), ("b", "2")]:
        await registry.register(prompt(name, content))
    listed = await registry.list(models_pb2.ListPromptsRequest())
    assert [(entry.name, entry.version, entry.content) for entry in listed.prompts] == [("a", 1, "1"), ("b", 2, "2")]
    assert listed.next_page_token == ""


async def test_listing_is_filtered_by_name_and_by_all_tags(registry: PromptRegistry) -> None:
    for name, tags in [("support/a", ["x", "y"]), ("support/b", ["x"]), ("sales/a", ["x", "y"])]:
        await registry.register(prompt(name, metadata=models_pb2.PromptMetadata(tags=tags)))
    listed = await registry.list(models_pb2.ListPromptsRequest(query="support/", tags=["y", "x"]))
    assert [entry.name for entry in listed.prompts] == ["support/a"]


async def test_pages_join_without_gap_or_repetition_though_prompts_come_meanwhile(registry: PromptRegistry) -> None:
    for number in range(7):
        await registry.register(prompt(f"p{number}"))
    seen: list[str] = []
    token = ""
    while True:
        page = await registry.list(models_pb2.ListPromptsRequest(page_size=3, page_token=token))
        seen += [entry.name for entry in page.prompts]
        token = page.next_page_token
        if not token:
            break
        await registry.register(prompt(f"a{len(seen)}"))
    assert seen == [f"p{number}" for number in range(7)]


async def test_large_prompts_make_smaller_pages(registry: PromptRegistry) -> None:
    """A page must fit into the 4 MiB that gRPC clients take by default."""
    for number in range(6):
        await registry.register(prompt(f"p{number}", "x" * 1_000_000))
    page = await registry.list(models_pb2.ListPromptsRequest())
    assert page.next_page_token
    assert page.ByteSize() < 4 * 1024 * 1024
    rest = await registry.list(models_pb2.ListPromptsRequest(page_token=page.next_page_token))
    assert [entry.name for entry in [*page.prompts, *rest.prompts]] == [f"p{number}" for number in range(6)]


async def test_token_of_another_list_is_refused(registry: PromptRegistry) -> None:
    for number in range(3):
        await registry.register(prompt(f"p{number}"))
        await registry.register(prompt("p0", f"{number}"))
    token = (await registry.list(models_pb2.ListPromptsRequest(page_size=1))).next_page_token
    other = (await registry.list_versions(models_pb2.ListPromptVersionsRequest(name="p0", page_size=1))).next_page_token
    requests = [
        models_pb2.ListPromptsRequest(page_token=token, query="p"),
        models_pb2.ListPromptsRequest(page_token=other),
        models_pb2.ListPromptsRequest(page_token="x"),
        models_pb2.ListPromptsRequest(page_token="é"),
        models_pb2.ListPromptsRequest(page_token=token[:-2]),
    ]
    for request in requests:
        with pytest.raises(InvalidRequest) as raised:
            await registry.list(request)
        assert raised.value.violations[0].field == "page_token"
    with pytest.raises(InvalidRequest, match="page_size"):
        await registry.list(models_pb2.ListPromptsRequest(page_size=-1))


async def test_versions_are_listed_newest_first_in_pages(registry: PromptRegistry) -> None:
    for number in range(12):
        await registry.register(prompt(content=str(number)))
    seen: list[int] = []
    token = ""
    for _ in range(3):
        request = models_pb2.ListPromptVersionsRequest(name="support/answer", page_size=5, page_token=token)
        page = await registry.list_versions(request)
        seen += [entry.version for entry in page.prompts]
        token = page.next_page_token
    assert token == ""
    assert seen == list(range(12, 0, -1))


async def test_versions_of_an_unknown_prompt_are_not_found(registry: PromptRegistry) -> None:
    with pytest.raises(NotFound):
        await registry.list_versions(models_pb2.ListPromptVersionsRequest(name="nope"))


# ------------------------------------------------------------------------------------------------------- variables


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("", []),
        ("{{a}} {{b}} {{a}}", ["a", "b"]),
        ("{{b}}{{a}}", ["b", "a"]),
        ("{{_x1}}", ["_x1"]),
        ("{{{name}}}", ["name"]),
        ("{{{{name}}}}", ["name"]),
        ("{a} {{ a }} {{a b}} {{a.b}} {{1a}} {{}} {{é}} {{a\n}}", []),
        ("{{a} }", []),
        ("{{{{{{{{", []),
    ],
)
def test_variables_are_names_in_double_braces_and_nothing_else(content: str, names: list[str]) -> None:
    assert find_variables(content) == names


NAMES = st.text("abZ_", min_size=1, max_size=4)
PLAIN = st.text(st.characters(exclude_characters="{}", codec="utf-8"), max_size=10)


@given(st.lists(st.tuples(PLAIN, NAMES), max_size=20), PLAIN)
def test_variables_are_found_among_any_text_in_order_of_first_use(pieces: list[tuple[str, str]], end: str) -> None:
    content = "".join(f"{text}{{{{{name}}}}}" for text, name in pieces) + end
    assert find_variables(content) == list(dict.fromkeys(name for _, name in pieces))
    assert list(find_lookalikes(content)) == []


@given(st.text(alphabet="{}a_1 \n", max_size=200))
def test_any_text_can_be_scanned_for_variables(content: str) -> None:
    for name in find_variables(content):
        assert f"{{{{{name}}}}}" in content


@given(st.text(alphabet="{}a_1 .\n\r\x85\u2028", max_size=100), st.text(alphabet="{}a \n", max_size=100))
def test_lookalikes_are_found_on_their_lines(content: str, rest: str) -> None:
    lines = enumerate((content + rest).splitlines(), start=1)
    expected = [number for number, line in lines if set(DOUBLE_BRACES.findall(line)) - set(VARIABLES.findall(line))]
    assert list(find_lookalikes(content + rest)) == expected


DOUBLE_BRACES = re.compile(r"\{\{[^{}]+\}\}")
VARIABLES = re.compile(r"\{\{[A-Za-z_][A-Za-z0-9_]*\}\}")


@pytest.mark.parametrize(
    "content",
    [
        "{" * 1_000_000,
        "{{a" * 300_000,
        "{{" + "a" * 1_000_000,
        "{{ " * 300_000,
        "{{a}}" * 200_000,
        "{{ a }}" * 150_000,
        "\n" * 1_000_000 + "{{ a }}",
        "{{ a }}\n" * 130_000,
    ],
)
def test_scanning_takes_time_in_proportion_to_the_text(content: str) -> None:
    """A prompt of the largest size must not hold up the calls of others: CPU time, with room of a factor of ten."""
    began = time.thread_time()
    find_variables(content)
    list(itertools.islice(find_lookalikes(content), 5))
    assert time.thread_time() - began < 0.5


async def test_warning_for_braces_that_are_not_variables(registry: PromptRegistry) -> None:
    response = await registry.register(prompt(content="{{ok}}\n{{ secret text }}\n\n{{user.name}}"))
    assert list(response.prompt.variables) == ["ok"]
    assert [(warning.code, warning.field) for warning in response.warnings] == [("NOT_A_VARIABLE", "content")]
    assert "line 2, 4" in response.warnings[0].message
    assert "secret" not in response.warnings[0].message


async def test_errors_never_quote_the_prompt(registry: PromptRegistry) -> None:
    with pytest.raises(PlatformError) as raised:
        await registry.register(prompt(content="canary\0text", commit_message="canary\0text"))
    assert "canary" not in str(raised.value) + str(raised.value.violations)


@given(
    st.text(alphabet="{}ab", max_size=60),
    st.fixed_dictionaries(
        {name: st.text(alphabet="{}ab\\", max_size=20) for name in ("a", "b", "aa", "ab", "ba", "bb")}
    ),
)
def test_rendering_replaces_only_the_variables(content: str, some: dict[str, str]) -> None:
    values = {name: some.get(name, name) for name in find_variables(content)}
    expected = ""
    end = 0
    for variable in VARIABLE.finditer(content):
        expected += content[end : variable.start()] + values[variable[1]]
        end = variable.end()
    rendered = render(content, values)
    assert rendered == expected + content[end:]
    assert rendered_size(content, values) == len(rendered.encode())
