"""The HTTP client that probes go through: it connects only where the endpoint policy allows."""

from __future__ import annotations

import ssl

import httpx

from services.models.endpoints import EndpointPolicy

PROBE_SECONDS = 2.0


def open_client(endpoints: EndpointPolicy) -> httpx.AsyncClient:
    """It follows no redirect, takes no proxy from the environment, and keeps no connection: one that the server has
    closed meanwhile would look like a server that is down.

    A request raises, beside httpx's errors, what `EndpointPolicy.check` raises.
    """
    return httpx.AsyncClient(
        transport=_CheckedTransport(endpoints),
        trust_env=False,
        follow_redirects=False,
        timeout=PROBE_SECONDS,
        headers={"user-agent": "genai-platform-probe", "accept-encoding": "identity"},
    )


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Resolves the host itself, has its addresses checked, and connects to one of these: nobody resolves it again."""

    def __init__(self, endpoints: EndpointPolicy) -> None:
        self._endpoints = endpoints
        self._http = httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            addresses = await self._endpoints.resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError("no address", request=request) from error
        return await self._send_to_first(request, list(dict.fromkeys(addresses)))

    async def _send_to_first(self, request: httpx.Request, addresses: list[str]) -> httpx.Response:
        """Sends to the first address that accepts a connection; each gets its share of the time."""
        seconds = PROBE_SECONDS / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._http.handle_async_request(_addressed(request, address, seconds))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._http.handle_async_request(_addressed(request, addresses[-1], seconds))

    async def aclose(self) -> None:
        await self._http.aclose()


def _addressed(request: httpx.Request, address: str, connect_seconds: float) -> httpx.Request:
    """The request, to be sent to an address; the server is told the name, and its certificate must be for the name."""
    timeout = {**request.extensions["timeout"], "connect": connect_seconds}
    name = request.url.host.rstrip(".")
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        # Among them is the Host header, with the name.
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "timeout": timeout, "sni_hostname": name},
    )
