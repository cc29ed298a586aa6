"""Refused TLS connections, in words: the cause, from the details of grpc's error."""

from __future__ import annotations

_CAUSES = (
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet"),
    ("Hostname Verification", "its certificate is for another host name"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is from an authority that GENAI_TLS_CA_FILE does not name"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS; write its address without https://"),
    (
        "Handshake read failed",
        "it closes the connection during the handshake; see whether it runs, and GENAI_TLS_CLIENT_CERT_FILE",
    ),
    ("Tls handshake failed", "it speaks no version of TLS that is safe"),
)
"""Words in the details of an error, and the cause that they tell."""

_CLOSED = ("Socket closed", "recvmsg:Connection reset", "Broken pipe")
"""The same for a connection that the server has closed before it has answered anything."""


def describe_refusal(details: str, *, in_tls: bool) -> str:
    """The cause why a connection could not be made; "" if TLS is none."""
    cause = next((cause for word, cause in _CAUSES if word in details), "")
    if cause:
        return cause
    if details.startswith("failed to connect") and any(word in details for word in _CLOSED):
        if in_tls:
            return "it takes no client without a certificate that it trusts; see GENAI_TLS_CLIENT_CERT_FILE"
        return "it closes unencrypted connections; write https:// before its address if it speaks TLS"
    return ""
