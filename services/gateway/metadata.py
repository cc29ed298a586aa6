"""Metadata that the gateway forwards, in both directions."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, TypeAlias

import grpc

from services.shared.error_details import DETAILS_KEY
from services.shared.errors import InvalidRequest
from services.shared.metadata import INTERNAL_PREFIX, REQUEST_ID_KEY, Metadata, belongs_to_hop, check_metadata
from services.shared.received_fields import Field

BINARY_SUFFIX = "-bin"

# github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Header-Name".
_KEY = re.compile(r"[0-9a-z_.-]+")

Form: TypeAlias = Literal["text", "binary", "none"]

MAX_KEYS = 1024
"""Keys whose form is remembered."""


def forwarded(received: Metadata, withheld: Collection[str] = ()) -> Metadata:
    """The caller's metadata for the backend, without a request id and the fields to withhold, such as its credential.

    Raises LimitExceeded METADATA_TOO_LARGE, and InvalidRequest METADATA_INVALID for a field that grpc cannot send: it
    would neither send nor fail the call.
    """
    check_metadata(received)
    fields = []
    for field in received:
        key, value = field
        if _ends_here(key) or key in withheld:
            continue
        if not _is_sendable(_form_of(key), value):
            raise _invalid(key)
        fields.append(field)
    return tuple(fields)


def returned(received: Iterable[Field]) -> Metadata:
    """The backend's metadata for the caller: those that are not of a hop and that grpc can send."""
    fields = []
    for field in received:
        key, value = field
        form = _form_to_return(key)
        # A text that is not UTF-8 comes as bytes, none of which is ASCII.
        if form == "binary" or (form == "text" and value.isascii() and value.isprintable()):  # type: ignore[union-attr]
            fields.append(field)
    return tuple(fields)


class Fields(grpc.aio.Metadata):  # type: ignore[misc]  # grpc ships no types
    """Metadata to send, as they are: grpc's own class groups them by their keys, and takes them apart again."""

    def __init__(self, fields: Metadata) -> None:
        self._fields = fields

    def __iter__(self) -> Iterator[Any]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


async def received_first(onward: Any) -> Metadata:
    """The initial metadata of a call's answer, as grpc's core has them."""
    return await onward._cython_call.initial_metadata() or ()


async def received_last(onward: Any) -> Metadata:
    """The trailing metadata of a call's answer, as grpc's core has them."""
    status = await onward._cython_call.status()
    return status.trailing_metadata() or ()


@functools.lru_cache(MAX_KEYS)
def _form_to_return(key: str) -> Form:
    return _form_of(key) if key == DETAILS_KEY or not belongs_to_hop(key) else "none"


def _is_for_gateway(key: str) -> bool:
    return belongs_to_hop(key) or key.startswith(INTERNAL_PREFIX)


@functools.lru_cache(MAX_KEYS)
def _ends_here(key: str) -> bool:
    return key == REQUEST_ID_KEY or _is_for_gateway(key)


@functools.lru_cache(MAX_KEYS)
def _form_of(key: str) -> Form:
    """The form of a key's values. Keys have lower-case letters, digits and `_.-`."""
    if not _KEY.fullmatch(key):
        return "none"
    if key.endswith(BINARY_SUFFIX):
        # The bare suffix is a text key to grpc's core and a binary one to its Python half.
        return "none" if key == BINARY_SUFFIX else "binary"
    return "text"


def _is_sendable(form: Form, value: str | bytes) -> bool:
    """Whether grpc sends a value: a binary one, or one of ASCII."""
    if form == "text":
        return isinstance(value, str) and value.isascii() and value.isprintable()
    return form == "binary"


def _invalid(key: str) -> InvalidRequest:
    if not _KEY.fullmatch(key) or key == BINARY_SUFFIX:
        return InvalidRequest(
            f"metadata key {key[:128]!a}: must be of a-z, 0-9, `_`, `.` and `-`, and more than {BINARY_SUFFIX}",
            reason="METADATA_INVALID",
        )
    return InvalidRequest(
        f"metadata {key[:128]}: must be plain ASCII; send other values under a key that ends in {BINARY_SUFFIX}",
        reason="METADATA_INVALID",
    )
