"""The opening of the HTTP port, as the settings say it."""

from __future__ import annotations

from collections.abc import Collection

from services.models.chat.chat import ChatService
from services.models.faces.base import CountingFace, Face
from services.models.faces.chat_completions.face import CHAT_COMPLETIONS
from services.models.faces.embeddings import EMBEDDINGS
from services.models.faces.messages.face import MESSAGES
from services.models.faces.responses.face import RESPONSES
from services.models.http_port.application import Application
from services.models.http_port.boundary import Boundary
from services.models.http_port.browsers import Browsers
from services.models.http_port.generation import Counting, Generation
from services.models.http_port.listings import Listings
from services.models.http_port.port import HttpPort
from services.models.routing.directory import ModelDirectory
from services.shared.admission import PROCESS_ADMISSION, Admission
from services.shared.identity import Callers
from services.shared.intake import PROCESS_INTAKE
from services.shared.logs import Log
from services.shared.rpc import DEFAULT_DEADLINES, DefaultDeadlines
from services.shared.running_calls import PROCESS_CALLS

FACES: dict[str, Face] = {face.name: face for face in (CHAT_COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS)}
COUNTING_FACES: dict[str, CountingFace] = {"count_tokens": MESSAGES, "input_tokens": RESPONSES}


def make_port(
    chats: ChatService,
    directory: ModelDirectory,
    log: Log,
    callers: Callers,
    generation: Admission,
    *,
    max_connections: int,
    hosts: Collection[str],
    origins: Collection[str],
    relays: Collection[str],
    exposed: bool,
    deadlines: DefaultDeadlines = DEFAULT_DEADLINES,
) -> HttpPort:
    """The port, not bound yet. `hosts` are names of this machine beside `localhost`, `origins` those whose pages may
    ask, `relays` the addresses that say whom they relay, and `exposed` says whether strangers can reach the port."""
    boundary = Boundary(log, callers, PROCESS_INTAKE, generation, PROCESS_ADMISSION, PROCESS_CALLS, deadlines.http)
    # Where every caller has a key, a page that has led its name here has none.
    browsers = Browsers(None if callers.are_required else hosts, origins)
    parts = Generation(boundary, chats), Counting(boundary, chats), Listings(boundary, directory)
    application = Application(log, browsers, FACES, COUNTING_FACES, *parts)
    return HttpPort(application, max_connections, relays, exposed=exposed)
