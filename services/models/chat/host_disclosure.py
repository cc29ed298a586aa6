"""Who is told where a connection was to lead: the operator always, and everybody where it is a vendor's own host."""

from __future__ import annotations

from urllib.parse import urlsplit

from services.models.catalog.provider_registry import VENDOR_URLS
from services.models.providers.base import Target
from services.models.transport.client import CAUSE, UPSTREAM_HOST
from services.shared.errors import PlatformError

VENDOR_HOSTS = frozenset(urlsplit(url).hostname for url in VENDOR_URLS.values())


class ToldHost:
    """A block whose errors tell their caller the host that the log is told, unless it is not for this caller."""

    def __init__(self, target: Target, *, to_stranger: bool) -> None:
        self._target = target
        self._to_stranger = to_stranger

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, PlatformError) and CAUSE in error.logged and self._is_callers():
            host = error.logged[UPSTREAM_HOST]
            error.metadata[UPSTREAM_HOST] = host
            error.message = f"{error.message} ({host})"

    def _is_callers(self) -> bool:
        if not self._to_stranger and not self._target.untrusted:
            return True
        return urlsplit(self._target.endpoint).hostname in VENDOR_HOSTS
