"""The dialects that the fuzzers speak: those of all adapters under the contract, by the path of a whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from services.models.providers.base import Dialect, Target
from tests.wire.dialects import Speech
from tests.wire.speeches import all_adapters

URL = "http://127.0.0.1:1"
MODEL = "fuzz"
"""The server's name for the models that the fuzzers register; some paths have it."""
TRANSCRIPTS = Path(__file__).parents[1] / "wire" / "transcripts"


class Spoken(NamedTuple):
    """A dialect as its servers speak it, and the targets that lead to them."""

    speech: Speech
    targets: tuple[Target, ...] = ()
    transcripts: tuple[bytes, ...] = ()

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """The forms of the dialect, each once."""
        return tuple({id(target.dialect): target.dialect for target in self.targets}.values())


def _spoken() -> dict[str, Spoken]:
    found: dict[str, Spoken] = {}
    for adapter in all_adapters():
        path = adapter.speech.path(MODEL, stream=False)
        before = found.get(path, Spoken(adapter.speech))
        streams = [
            file.read_bytes() for folder in adapter.transcripts for file in sorted((TRANSCRIPTS / folder).glob("*.sse"))
        ]
        found[path] = before._replace(
            targets=(*before.targets, adapter.target(URL)), transcripts=(*before.transcripts, *streams)
        )
    return found


SPOKEN: Mapping[str, Spoken] = _spoken()

_PATHS = {spoken.speech.path(MODEL, stream=stream): path for path, spoken in SPOKEN.items() for stream in (True, False)}
STREAM_PATHS = tuple(asked for asked, path in _PATHS.items() if asked != path)
"""The paths that are asked for streams alone."""


def spoken_path(asked: str) -> str:
    """The path in `SPOKEN` of the dialect that a server is asked in; empty if it is asked for no answer."""
    return next((path for end, path in _PATHS.items() if asked.endswith(end)), "")
