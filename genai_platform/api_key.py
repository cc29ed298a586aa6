"""The API key of a client: from its argument, or the environment. It is sent, and shown nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from genai_platform.environment import read_variable, stands_in_file
from genai_platform.target import TARGET_VARIABLE, GatewayTarget

VARIABLE = "GENAI_API_KEY"
FILE_VARIABLE = "GENAI_API_KEY_FILE"
INSECURE_VARIABLE = "GENAI_INSECURE"

_KEY = re.compile(r"[!-~]+")


class ApiKey:
    """A key. It cannot be printed or pickled."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def pair(self) -> tuple[str, str]:
        """The metadata that a call is sent with."""
        return "authorization", f"Bearer {self._text}"

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client with an API key cannot be pickled; make one in each process")


def find_api_key(given: str | None) -> ApiKey | None:
    """The given key, else the one of GENAI_API_KEY or in the file that GENAI_API_KEY_FILE names; None if there is none.

    Raises ValueError for one that cannot be sent, without repeating it.
    """
    if given is not None:
        return _checked(given, "api_key")
    text, path = read_variable(VARIABLE), read_variable(FILE_VARIABLE)
    if text and path:
        raise ValueError(f"{VARIABLE} and {FILE_VARIABLE} are both set; leave one of them out")
    if path:
        return _checked(_read(Path(path).expanduser()), FILE_VARIABLE)
    return _checked(text, VARIABLE) if text else None


def check_transport(key: ApiKey | None, target: GatewayTarget) -> None:
    """Raises ValueError for a key that would be sent unencrypted to another machine."""
    if key is None or target.secure or target.is_loopback() or read_variable(INSECURE_VARIABLE) == "yes":
        return
    raise ValueError(
        f"an API key is not sent unencrypted to {target.address}, where others could read it; write https:// before the"
        f" target, or set {INSECURE_VARIABLE}=yes where something else protects the connection"
    )


def check_source(given: str | None, key: ApiKey | None, target: GatewayTarget) -> None:
    """Raises ValueError for a key of the environment that would be sent to a gateway that a file `.env` names.

    The file may be another's, such as that of a repository in which a command is run. `given` is the key that the
    program itself gives.
    """
    if given is not None or key is None or target.is_loopback() or not stands_in_file(TARGET_VARIABLE):
        return
    if not stands_in_file(VARIABLE) and not stands_in_file(FILE_VARIABLE):
        raise ValueError(
            f"the API key of the environment is not sent to {target.address}, which a file .env here names;"
            f" set {TARGET_VARIABLE} in the environment too, or the key in the file"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise ValueError(f"{FILE_VARIABLE}: {path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _checked(text: str, source: str) -> ApiKey:
    key = text.strip()
    if not _KEY.fullmatch(key):
        raise ValueError(f"{source} must be an API key: printable ASCII characters without blanks")
    return ApiKey(key)
