"""Size limits: requests that contain messages of a conversation may be large, and no others."""

from __future__ import annotations

from proto import models_pb2, sessions_pb2
from services.shared.message_sizes import MAX_MESSAGE_BYTES, max_request_bytes


def test_only_requests_with_messages_may_be_large() -> None:
    services = [*models_pb2.DESCRIPTOR.services_by_name.values(), *sessions_pb2.DESCRIPTOR.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    large = {method.name for method in methods if max_request_bytes(method) == MAX_MESSAGE_BYTES}
    assert large == {"Chat", "ChatStream", "PreviewChat", "AppendMessages"}
