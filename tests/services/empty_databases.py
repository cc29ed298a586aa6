"""SQLite files at the newest schema, copied from one: to bring each to it would take longer than most tests."""

from __future__ import annotations

import asyncio
import functools
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.shared.database import Database
from services.shared.logs import LineWriter, Log

SERVICES = Path(__file__).resolve().parents[2] / "services"


def provide(file: Path, service: str) -> None:
    """Puts an empty database of `models` or `sessions` there, unless there is one."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_template(service))


def provide_behind(url: str, service: str) -> None:
    """The same for the file that a URL names; other URLs are left alone."""
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite":
        provide(Path(path), service)


@functools.cache
def _template(service: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="genai-template-") as directory:
        file = Path(directory) / f"{service}.db"

        async def create() -> None:
            log = Log(LineWriter(io.BytesIO()), "test", "error")
            database = await Database.open(f"sqlite:///{file}", SERVICES / service / "migrations", log)
            await database.close()

        # The caller's own loop is running.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, create()).result()
        return file.read_bytes()
