"""The gRPC channel of a client: its options, and how it is opened."""

from __future__ import annotations

import grpc

from genai_platform.target import GatewayTarget
from genai_platform.v1 import models_pb2, sessions_pb2, usage_pb2

MODEL_SERVICE = models_pb2.DESCRIPTOR.services_by_name["ModelService"]
SESSION_SERVICE = sessions_pb2.DESCRIPTOR.services_by_name["SessionService"]
USAGE_SERVICE = usage_pb2.DESCRIPTOR.services_by_name["UsageService"]

MAX_MESSAGE_BYTES = 32 * 1024 * 1024

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A connection of its own for each client: a shared one breaks in a forked child.
    ("grpc.use_local_subchannel_pool", 1),
    # The bandwidth probe's pings count against the server's ping limit, which then closes the connection.
    ("grpc.http2.bdp_probe", 0),
    # All three are needed: without the last, a dead connection is noticed only after about a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    # Keepalive must go on while a model reasons for minutes and sends nothing.
    ("grpc.http2.max_pings_without_data", 0),
    # A gateway that returns is found within 0.6 s, however long it was away.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
    # The timeout of connecting; grpc's default is 20 s.
    ("grpc.min_reconnect_backoff_ms", 5_000),
]


def open_channel(target: GatewayTarget, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    if credentials:
        return grpc.secure_channel(target.address, credentials, _options(target))
    return grpc.insecure_channel(target.address, _options(target))


def open_async_channel(target: GatewayTarget, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials:
        return grpc.aio.secure_channel(target.address, credentials, _options(target))
    return grpc.aio.insecure_channel(target.address, _options(target))


def _options(target: GatewayTarget) -> list[tuple[str, int]]:
    options = [*CHANNEL_OPTIONS]
    if target.is_loopback():
        # A proxy from the environment (`http_proxy`) cannot reach loopback addresses of this machine.
        options.append(("grpc.enable_http_proxy", 0))
    return options
