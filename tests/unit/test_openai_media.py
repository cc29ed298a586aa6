"""Media of user messages → content parts of a chat completion."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from proto.models_pb2 import ChatMessage, ContentPart, Media
from services.models.providers.base import Encoded, Target
from tests.rows import for_each
from tests.unit.openai_bodies import (
    COMPATIBLE,
    EVERY_TARGET,
    GPT_4O,
    NAMES,
    ON_VLLM,
    encode,
    openai_target,
    refused,
    sent_messages,
    told,
)

PDF = "application/pdf"
ANY_OPENAI = openai_target("gpt-any", COMPATIBLE.facts)
"""A model of OpenAI's of which it is not known what it reads."""


def content_of(*parts: ContentPart, target: Target = ANY_OPENAI) -> Any:
    return sent_messages(ChatMessage(role="user", parts=parts), target=target)[0]["content"]


def media(**fields: Any) -> ContentPart:
    return ContentPart(media=Media(**fields))


def part_of(target: Target, **fields: Any) -> Any:
    return content_of(media(**fields), target=target)[0]


def problems_of(target: Target, **fields: Any) -> list[str]:
    return refused(target, ChatMessage(role="user", parts=[ContentPart(text="See:"), media(**fields)]))


@for_each("target", EVERY_TARGET, ids=NAMES)
def test_file_ids_of_images_are_refused(target: Target) -> None:
    assert problems_of(target, file_id="file-1", mime_type="image/png") == ["messages[0].parts[1].media.file_id"]


def test_documents_are_not_fetched() -> None:
    assert problems_of(GPT_4O, url="https://example.com/terms.pdf") == ["messages[0].parts[1].media.url"]


@for_each(
    ("mime_type", "name"),
    [
        (PDF, "document.pdf"),
        ("application/json", "document.json"),
        ("text/csv", "document.csv"),
        ("text/html", "document.html"),
        ("text/markdown", "document.md"),
        ("Text/Plain", "document.txt"),
        ("application/msword", "document"),
    ],
)
def test_a_document_without_a_name_is_named_by_its_type(mime_type: str, name: str) -> None:
    assert part_of(ANY_OPENAI, data=b"%PDF", mime_type=mime_type)["file"]["filename"] == name


def test_vllm_takes_no_documents() -> None:
    for fields in ({"data": b"%PDF", "mime_type": PDF}, {"file_id": "file-1"}, {"url": "https://example.com/a.pdf"}):
        assert problems_of(ON_VLLM, **fields) == ["messages[0].parts[1].media"]


@for_each("target", [ANY_OPENAI, ON_VLLM, COMPATIBLE], ids=NAMES)
@for_each(
    ("mime_type", "audio_format"),
    [
        *((f"audio/{name}", "wav") for name in ("wav", "wave", "x-wav", "vnd.wave", "WAV")),
        *((f"audio/{name}", "mp3") for name in ("mpeg", "mp3")),
    ],
)
def test_wav_and_mp3_are_input_audio(target: Target, mime_type: str, audio_format: str) -> None:
    sound = {"data": "UklGRg==", "format": audio_format}
    assert part_of(target, data=b"RIFF", mime_type=mime_type) == {"type": "input_audio", "input_audio": sound}


@for_each("target", [ANY_OPENAI, COMPATIBLE], ids=["openai", "openai-compatible"])
@for_each(
    "fields",
    [
        {"data": b"OggS", "mime_type": "audio/ogg"},
        {"url": "https://example.com/a.mp3", "mime_type": "audio/mpeg"},
        {"file_id": "file-1", "mime_type": "audio/wav"},
    ],
)
def test_other_sounds_are_refused(target: Target, fields: dict[str, Any]) -> None:
    assert problems_of(target, **fields) == ["messages[0].parts[1].media"]


def test_vllm_takes_sounds_of_every_format_and_fetches_them() -> None:
    sent = [
        part_of(ON_VLLM, data=b"OggS", mime_type="audio/ogg"),
        part_of(ON_VLLM, url="https://example.com/a.mp3", mime_type="audio/mpeg"),
    ]
    assert sent == [
        {"type": "audio_url", "audio_url": {"url": "data:audio/ogg;base64,T2dnUw=="}},
        {"type": "audio_url", "audio_url": {"url": "https://example.com/a.mp3"}},
    ]


def test_openai_takes_no_video() -> None:
    assert problems_of(ANY_OPENAI, data=b"\x00", mime_type="video/mp4") == ["messages[0].parts[1].media"]


@for_each("target", [ANY_OPENAI, COMPATIBLE], ids=["openai", "openai-compatible"])
def test_citations_of_a_document_are_left_out_and_named_where_they_are_wanted(target: Target) -> None:
    def body_with(**fields: Any) -> Encoded:
        page = media(data=b"%PDF", mime_type=PDF, **fields)
        return encode(target, [ChatMessage(role="user", parts=[page])])

    wanted = body_with(enable_citations=True)
    assert told(wanted) == [("PARAMETER_DROPPED", "messages[0].parts[0].media.enable_citations")]
    assert wanted.request.body == body_with(enable_citations=False).request.body == body_with().request.body
    assert told(body_with(enable_citations=False)) == []


@for_each("target", [ANY_OPENAI, COMPATIBLE], ids=["openai", "openai-compatible"])
@for_each("detail", ["low", "high"])
@for_each(
    "fields",
    [{"data": b"%PDF", "mime_type": PDF}, {"file_id": "file-1"}, {"data": b"RIFF", "mime_type": "audio/wav"}],
    ids=["document", "file id", "sound"],
)
def test_detail_of_what_is_no_image_is_left_out_and_named(target: Target, fields: dict[str, Any], detail: str) -> None:
    body = encode(target, [ChatMessage(role="user", parts=[media(**fields, detail=detail)])])
    assert told(body) == [("PARAMETER_DROPPED", "messages[0].parts[0].media.detail")]
    assert b"detail" not in body.request.body
    assert part_of(target, **fields, detail="auto") == part_of(target, **fields)


def test_detail_of_a_film_is_left_out_and_named() -> None:
    film = media(url="https://example.com/a.mp4", mime_type="video/mp4", detail="low")
    body = encode(ON_VLLM, [ChatMessage(role="user", parts=[film])])
    assert told(body) == [("PARAMETER_DROPPED", "messages[0].parts[0].media.detail")]
    assert b"detail" not in body.request.body


def test_every_part_that_is_refused_is_named() -> None:
    message = ChatMessage(
        role="user",
        parts=[
            media(file_id="file-1", mime_type="image/png"),
            media(url="https://example.com/1.png"),
            media(url="https://example.com/a.pdf"),
        ],
    )
    assert refused(ANY_OPENAI, message) == ["messages[0].parts[0].media.file_id", "messages[0].parts[2].media.url"]


def test_bytes_of_any_length_come_back_from_the_body() -> None:
    for length in (1, 2, 3, 100_000):
        data = bytes(index % 251 for index in range(length))
        url = part_of(ON_VLLM, data=data, mime_type="image/png")["image_url"]["url"]
        assert b64decode(url.removeprefix("data:image/png;base64,"), validate=True) == data
