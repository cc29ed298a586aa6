"""The ASGI application of the HTTP port: what browsers may do, where a path leads, and which face answers there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from services.models.faces.base import CountingFace, Face
from services.models.http_port.boundary import serve_operations
from services.models.http_port.browsers import Browsers, check_json
from services.models.http_port.exchange import HttpExchange, Receive, Scope
from services.models.http_port.generation import Counting, Generation
from services.models.http_port.listings import Listings
from services.models.http_port.routes import Dialect, Route, route_of
from services.shared.call import new_request_id
from services.shared.errors import NotFound, PlatformError, Unimplemented
from services.shared.logs import Log
from services.shared.metadata import REQUEST_ID_KEY

Fields = list[tuple[str, str]]


class Application:
    """Answers all requests of the port. `faces` are by the names of their operations."""

    def __init__(
        self,
        log: Log,
        browsers: Browsers,
        faces: Mapping[str, Face],
        counting_faces: Mapping[str, CountingFace],
        generation: Generation,
        counting: Counting,
        listings: Listings,
    ) -> None:
        self._log = log
        self._browsers = browsers
        self._faces = faces
        self._counting_faces = counting_faces
        self._generation = generation
        self._counting = counting
        self._listings = listings
        self._refusers: dict[Dialect, Face] = {"openai": faces["chat_completions"], "anthropic": faces["messages"]}
        serve_operations([*faces, *counting_faces, "models"])

    async def __call__(self, scope: Scope, receive: Receive, _: object) -> None:
        exchange = HttpExchange(scope, receive)
        try:
            await self._answer(exchange)
        except asyncio.CancelledError:
            # The client has left, or the server stops.
            exchange.abort()
        except Exception as error:
            # uvicorn answers with 500, and its own log is off.
            self._log.error("unexpected error", error=error, method=exchange.method)
            raise

    async def _answer(self, exchange: HttpExchange) -> None:
        route = route_of(exchange.raw_path)
        try:
            self._browsers.check(exchange.headers)
            if exchange.method == "OPTIONS":
                await exchange.respond(204, self._browsers.preflight_fields(exchange.headers), b"")
                return
            cors = [*self._browsers.cors_fields(exchange.headers)]
            if "upgrade" in exchange.headers and exchange.headers["upgrade"].lower() == "websocket":
                await self._refuse_upgrade(exchange, route, cors)
                return
            if route.operation is None:
                raise NotFound(f"{exchange.method} {exchange.path[:256]} is not served here", reason="PATH_NOT_SERVED")
            if exchange.method not in route.methods:
                await self._refuse_method(exchange, route, cors)
                return
            await self._dispatch(exchange, route, cors)
        except PlatformError as error:
            await self._refuse(exchange, route.dialect, error)

    async def _dispatch(self, exchange: HttpExchange, route: Route, cors: Fields) -> None:
        match route.operation:
            case "probe":
                await exchange.respond(200, cors, b"")
            case "models" | "model":
                await self._listings.answer(exchange, route, cors, self._refuser(exchange, route))
            case "chat_completions" | "responses" | "messages" | "embeddings":
                check_json(exchange.headers)
                await self._generation.answer(exchange, self._faces[route.operation], route.name, cors)
            case "count_tokens" | "input_tokens":
                check_json(exchange.headers)
                await self._counting.answer(exchange, self._counting_faces[route.operation], route.operation, cors)

    def _refuser(self, exchange: HttpExchange, route: Route) -> Face:
        """The face that writes errors: of a listing, that of the client's SDK."""
        return self._refusers["anthropic" if "anthropic-version" in exchange.headers else route.dialect]

    async def _refuse_upgrade(self, exchange: HttpExchange, route: Route, cors: Fields) -> None:
        # The status by which Codex goes on with POST at once; others cost it seconds.
        error = Unimplemented("there are no WebSockets here; send the request with POST", reason="UPGRADE_NOT_SERVED")
        await self._refuse(exchange, route.dialect, error, 426, [*cors, ("upgrade", "HTTP/1.1")])

    async def _refuse_method(self, exchange: HttpExchange, route: Route, cors: Fields) -> None:
        allowed = ", ".join(route.methods)
        error = Unimplemented(f"{exchange.method} is not served at this path, {allowed} is", reason="METHOD_NOT_SERVED")
        await self._refuse(exchange, route.dialect, error, 405, [*cors, ("allow", allowed)])

    async def _refuse(
        self,
        exchange: HttpExchange,
        dialect: Dialect,
        error: PlatformError,
        status: int = 0,
        fields: Fields | None = None,
    ) -> None:
        request_id = new_request_id()
        refusal = self._refusers[dialect].refusal(error, request_id)
        headers = [(REQUEST_ID_KEY, request_id), ("request-id", request_id), *(fields or []), *refusal.headers]
        # A body that still comes is dropped, since a client whose connection ends in the middle of it reads no answer.
        # One that waits for leave to send it may send another request instead.
        closes = "expect" in exchange.headers or "upgrade" in exchange.headers
        await exchange.respond(status or refusal.status, headers, refusal.body, closes=closes)
