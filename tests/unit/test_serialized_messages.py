"""Serialized messages, joined from their fields, equal those that protobuf writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proto.models_pb2 import ChatMessage
from proto.sessions_pb2 import AppendMessagesRequest
from services.shared.serialized_messages import SerializedMessage, field_header
from tests.rows import for_each

FIELD = AppendMessagesRequest.DESCRIPTOR.fields_by_name["messages"].number


@given(st.lists(st.text(max_size=300), max_size=5), st.text(max_size=20))
def test_message_joined_from_its_fields_equals_the_original(texts: list[str], session_id: str) -> None:
    wanted = AppendMessagesRequest(
        session_id=session_id, messages=[ChatMessage(role="user", content=text) for text in texts]
    )
    contents = [message.SerializeToString() for message in wanted.messages]
    framed = [piece for content in contents for piece in (field_header(FIELD, len(content)), content)]
    rest = AppendMessagesRequest(session_id=session_id).SerializeToString()
    assembled = SerializedMessage([rest, *framed])
    assert AppendMessagesRequest.FromString(assembled.SerializeToString()) == wanted
    assert assembled.ByteSize() == wanted.ByteSize()


@for_each("size", [0, 1, 127, 128, 16_383, 16_384, 2**21])
def test_header_of_any_size(size: int) -> None:
    content = ChatMessage(content="x" * size).SerializeToString()
    data = field_header(FIELD, len(content)) + content
    assert AppendMessagesRequest.FromString(data).messages[0].content == "x" * size
