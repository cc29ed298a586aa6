"""An OIDC issuer on this machine: its keys, its documents, and the tokens that it signs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "genai"

RSA_KEY = rsa.generate_private_key(65537, 2048)
PRIVATE_KEYS: Mapping[str, Any] = {
    "RS256": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
_ENCODERS: Mapping[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def public_jwk(algorithm: str, key: Any, key_id: str) -> dict[str, Any]:
    return {**_ENCODERS[algorithm].to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig"}


class OidcIssuer:
    """The issuer. Its keys go by the names of their algorithms."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys = [public_jwk(algorithm, key, algorithm) for algorithm, key in PRIVATE_KEYS.items()]
        self.documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        }
        self.status = 200
        self.asked: list[str] = []

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        document = {"keys": self.keys} if path == "/keys" else self.documents.get(path)
        if document is None:
            return 404, b"{}"
        return self.status, json.dumps(document).encode()

    def token(
        self,
        algorithm: str = "RS256",
        *,
        key: Any = None,
        key_id: str | None = "",
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token of somebody for the platform, with these claims instead; a claim that is None is left out."""
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "somebody", "exp": time.time() + 600, **claims}
        kid = {} if key_id is None else {"kid": key_id or algorithm}
        return jwt.encode(
            {name: value for name, value in said.items() if value is not None},
            key or PRIVATE_KEYS[algorithm],
            algorithm,
            {**kid, **(headers or {})},
        )


@contextmanager
def oidc_issuer() -> Iterator[OidcIssuer]:
    """Serves an issuer for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = issuer.answer(self.path)
            self.send_response(status)
            self.send_header("location", f"{issuer.url}/keys")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = OidcIssuer(server.server_port)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
