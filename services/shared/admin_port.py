"""The admin port of a process: over HTTP, its metrics for a scraper, and its health for a supervisor.

`/metrics`   all metrics, in Prometheus' text format
`/livez`     503 once the event loop has not run for 10 s: a process that hangs still answers gRPC's keepalive
`/readyz`    503 unless its gRPC health service says SERVING of the process and of all its services

It runs in threads of its own, so that it answers while the event loop hangs. No client can hold or fill it: time and
size of a request are limited, a new connection takes the place of the oldest, and metrics are written a tenth of the
time at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import platform
import socket
import socketserver
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import grpc
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from services.shared import metric_names as names
from services.shared.call_metrics import follow_calls
from services.shared.errors import StartupError
from services.shared.logs import Log
from services.shared.loop_watch import LoopWatch
from services.shared.metrics import REGISTRY, Gauges, Readings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LIVE_SECONDS = 10.0
"""Time without a run of the event loop from which on the process counts as dead."""

MAX_CONNECTIONS = 16
CONNECTION_SECONDS = 5.0
"""Time that a connection has, whatever it does."""
MAX_HEAD_BYTES = 8192
"""Bytes of a request up to the end of its header fields; a body is not read."""
POLL_SECONDS = 0.2

PAUSES_PER_WRITE = 9.0
"""Time for which written metrics are sent again, as a multiple of the time that it took to write them."""

TEXT = "text/plain; charset=utf-8"

LOOP_LAG = Readings(names.EVENT_LOOP_LAG, "The longest delay of the event loop in the last seconds.")
PYTHON_BLOCKS = Readings(
    names.PYTHON_BLOCKS,
    "Blocks of memory that Python's objects take; a leak of objects lets them rise.",
)
BUILD = Gauges(names.BUILD_INFO, "1, with the versions of the process.", ("process", "version", "python", "grpcio"))


class AdminPort:
    """The pages of a process. Until it follows a server, the process lives and is not ready."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._read_health: Callable[[], Mapping[str, bool]] = dict
        self._watch: LoopWatch | None = None
        self._exposition = _Exposition()

    def follow(self, read_health: Callable[[], Mapping[str, bool]], watch: LoopWatch) -> None:
        """Reports the health of a server, by the names of its services, and the event loop that is watched."""
        self._read_health, self._watch = read_health, watch
        PYTHON_BLOCKS.follow(lambda: [((), sys.getallocatedblocks())])
        LOOP_LAG.follow(lambda: [((), watch.lag_seconds())])

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Answers one request, as PEP 3333 has it."""
        page = self._answer(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        headers = [("Content-Type", page.content_type), ("Content-Length", str(len(page.body)))]
        start_response(page.status, [*headers, ("Cache-Control", "no-store")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [page.body]

    def _answer(self, method: str, path: str) -> _Page:
        if method not in ("GET", "HEAD"):
            return _Page("405 Method Not Allowed", b"only GET and HEAD\n")
        match path:
            case "/metrics":
                return self._metrics()
            case "/livez":
                return self._liveness()
            case "/readyz":
                return self._readiness()
        return _Page("404 Not Found", b"/metrics, /livez and /readyz are here\n")

    def _metrics(self) -> _Page:
        try:
            return _Page("200 OK", self._exposition.text(), CONTENT_TYPE_PLAIN_0_0_4)
        except Exception as error:
            self._log.error("metrics cannot be read", error=error)
            return _Page("500 Internal Server Error", b"the metrics cannot be read; the log says why\n")

    def _liveness(self) -> _Page:
        seconds = self._watch.silent_seconds() if self._watch else 0.0
        if seconds >= LIVE_SECONDS:
            return _Page("503 Service Unavailable", b"the event loop has not run for %d s\n" % seconds)
        return _Page("200 OK", b"alive\n")

    def _readiness(self) -> _Page:
        health = self._read_health()
        if health and all(health.values()):
            return _Page("200 OK", b"ready\n")
        away = [name or "the process" for name, is_serving in health.items() if not is_serving] or ["the process"]
        return _Page("503 Service Unavailable", "".join(f"not serving: {name}\n" for name in away).encode())


class _Page(NamedTuple):
    status: str
    body: bytes
    content_type: str = TEXT


class _Exposition:
    """The metrics as text, written by one thread at a time."""

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._text = b""
        self._valid_until = 0.0

    def text(self) -> bytes:
        with self._writing:
            begun = time.monotonic()
            if begun >= self._valid_until:
                self._text = generate_latest(REGISTRY)
                now = time.monotonic()
                self._valid_until = now + PAUSES_PER_WRITE * (now - begun)
            return self._text


@contextlib.asynccontextmanager
async def open_admin_port(process: str, host: str, port: int | None, log: Log) -> AsyncIterator[AdminPort]:
    """Serves the admin port of a process, which has a name, for the length of a block; nothing without a port.

    Raises StartupError for a port that cannot be bound.
    """
    pages = AdminPort(log)
    follow_calls(process)
    BUILD.set((process, _version(), platform.python_version(), grpc.__version__), 1)
    if port is None:
        yield pages
        return
    server = _bind(host, port, pages)
    log.info("admin port", host=server.server_address[0], port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="admin-port", daemon=True)
    thread.start()
    try:
        yield pages
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _bind(host: str, port: int, application: WSGIApplication) -> _Server:
    try:
        return _Server(host, port, application)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise StartupError(f"cannot listen on {host}:{port}, the admin port: {problem}") from None


def _version() -> str:
    try:
        return metadata.version("genai-platform-services")
    except metadata.PackageNotFoundError:
        return "unknown"


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A WSGI server with a limited number of connections, each for a limited time."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, application: WSGIApplication) -> None:
        self._changing = threading.Lock()
        self._begun: dict[socket.socket, float] = {}
        """The open connections, and the times at which they were accepted, the oldest first."""
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__(address[:2], _Handler)  # type: ignore[arg-type]  # typeshed knows the port of IPv4 only
        self.set_app(application)

    def server_bind(self) -> None:
        # WSGIServer would look up the name of the address, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            # Without free descriptors the connection waits, and the next look at it would come at once.
            time.sleep(POLL_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            if len(self._begun) >= MAX_CONNECTIONS:
                self._end(next(iter(self._begun)))
            self._begun[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Ends the connections whose time is over; called several times a second."""
        with self._changing:
            due = time.monotonic() - CONNECTION_SECONDS
            for request in [request for request, begun in self._begun.items() if begun < due]:
                self._end(request)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._begun.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a client that has left or was ended."""

    def _end(self, request: socket.socket) -> None:
        """Ends a connection; the thread that reads or writes it sees its end."""
        del self._begun[request]
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    """The handler of one connection, which has one request."""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(io.BytesIO(self._read_head()))

    def log_message(self, format: str, *args: Any) -> None:
        """Logs no requests: a scraper comes all the time."""

    def get_stderr(self) -> io.StringIO:
        return io.StringIO()

    def _read_head(self) -> bytes:
        """The request up to the end of its header fields; empty if it is too long or not whole."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.connection.recv(MAX_HEAD_BYTES)
            head += data
            if not data or len(head) > MAX_HEAD_BYTES:
                return b""
        return head
