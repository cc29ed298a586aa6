"""Disclosure of the host of a failed connection: to the operator, and to all callers if it is a vendor's."""

from __future__ import annotations

from services.models.providers.base import Target
from services.models.transport.failures import CAUSE, UPSTREAM_HOST
from services.shared.errors import PlatformError


class HostDisclosure:
    """A context manager that adds the logged host to errors inside the block, if the caller may know it."""

    def __init__(self, target: Target, *, to_stranger: bool) -> None:
        self._target = target
        self._to_stranger = to_stranger

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, PlatformError) and CAUSE in error.logged and self._is_disclosed():
            host = error.logged[UPSTREAM_HOST]
            error.metadata[UPSTREAM_HOST] = host
            error.message = f"{error.message} ({host})"

    def _is_disclosed(self) -> bool:
        return self._target.host_is_public or not (self._to_stranger or self._target.untrusted)
