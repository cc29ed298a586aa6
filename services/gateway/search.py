"""The search for a replica that takes a call, where others have not begun it, or do not have what it is about."""

from __future__ import annotations

import grpc
from google.protobuf.descriptor import MethodDescriptor

from proto import models_pb2
from services.shared.call import Call
from services.shared.call_ends import has_not_begun
from services.shared.replicas import Replica, Replicas


def is_of_one_replica(method: MethodDescriptor) -> bool:
    """Whether calls of the method are about something that one replica alone has."""
    # The stubs that protoc writes have no types for extensions.
    return bool(method.GetOptions().Extensions[models_pb2.of_one_replica])  # type: ignore[index]


class Search:
    """The replicas that have not taken one call, with their errors."""

    def __init__(self, replicas: Replicas, *, of_one_replica: bool) -> None:
        self._replicas = replicas
        self._of_one_replica = of_one_replica
        self._errors: dict[str, grpc.aio.AioRpcError] = {}

    def next_after(self, replica: Replica, error: grpc.aio.AioRpcError, call: Call) -> Replica:
        """The next replica for a call that this one has not begun, or that is about what it does not have.

        Raises `error` when it may have begun the call. When no other is left, raises the newest error; but not
        NOT_FOUND while a replica that could not be asked may have it.
        """
        if call.log_fields.get("messages"):
            raise error
        not_begun = has_not_begun(error)
        if not (not_begun or self._is_elsewhere(error)):
            raise error
        call.log_fields.setdefault("not_begun_by" if not_begun else "not_found_by", []).append(replica.address)
        self._errors[replica.address] = error
        other = self._replicas.pick_other(self._errors)
        if other:
            return other
        raise error if not_begun else next(filter(has_not_begun, self._errors.values()), error)

    def _is_elsewhere(self, error: grpc.aio.AioRpcError) -> bool:
        # Initial metadata are with the caller already.
        is_missing = error.code() is grpc.StatusCode.NOT_FOUND and not error.initial_metadata()
        return self._of_one_replica and is_missing
