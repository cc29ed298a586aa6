"""Browsers: a web page asks nothing in its user's name, unless the operator has listed it."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.rows import for_each
from tests.scripted_upstream import ScriptedUpstream, json_answer
from tests.services.model_service import ModelService, completion, model_service

CHAT = "/v1/chat/completions"
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}'
JSON = {"content-type": "application/json"}
PAGE = "https://app.example.com"


def asking(service: ModelService) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=service.url, trust_env=False)


@for_each(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-encoding": "gzip"}, 415),
        ({"host": "evil.example.com"}, 403),
        ({"host": "localhost:50080"}, 200),
        ({"host": "[::1]:50080"}, 200),
        ({"host": "models.internal"}, 200),
        ({"origin": "https://evil.example.com"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": PAGE}, 200),
    ],
    ids=str,
)
async def test_request(tmp_path: Path, upstream: ScriptedUpstream, headers: dict[str, str], status: int) -> None:
    upstream.default = json_answer(completion())
    options = {"hosts": ["models.internal"], "origins": [PAGE]}
    async with model_service(tmp_path, upstream, http=options) as service, asking(service) as client:
        response = await client.post(CHAT, content=BODY, headers=JSON | headers)
        assert response.status_code == status, response.text
        assert ("access-control-allow-origin" in response.headers) is (headers.get("origin") == PAGE)
        assert len(upstream.requests) == (1 if status == 200 else 0)
        upstream.requests.clear()


async def test_preflight_allows_what_the_page_asks_for(tmp_path: Path) -> None:
    async with model_service(tmp_path, http={"origins": [PAGE]}) as service, asking(service) as client:
        wanted = {"origin": PAGE, "access-control-request-headers": "x-stainless-new, authorization"}
        response = await client.options(CHAT, headers=wanted)
        assert response.status_code == 204
        assert response.headers["access-control-allow-origin"] == PAGE
        assert response.headers["access-control-allow-headers"] == wanted["access-control-request-headers"]
        refused = await client.options(CHAT, headers={"origin": "https://evil.example.com"})
        assert refused.status_code == 403
