"""Credentials: the secrets that registrations refer to. They are read at each use, so that they can be rotated."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from typing import NoReturn

from proto.models_pb2 import Credential, RegisteredModel
from services.models.access import key_files
from services.models.access.credential_bounds import FILE, SETTING, VARIABLE, CredentialBounds
from services.models.access.key_files import MAX_FILE_BYTES, KeyFiles
from services.shared.errors import PreconditionFailed

_NAMES_A_KEY = re.compile(r"_API_KEY\Z|\AGENAI_.*(?:KEY|TOKEN|SECRET|PASSWORD)")


class Credentials:
    """Reads the key that a `Credential` names, from the environment or from `files`, and checks its bounds.

    The key of a stranger's registration must be mapped by the operator.
    """

    def __init__(self, files: KeyFiles | None = None, bounds: CredentialBounds | None = None) -> None:
        self._files = files or KeyFiles()
        self._bounds = bounds or CredentialBounds()

    def problem(
        self, credential: Credential, endpoint: str | None, adapter_type: str, *, by_stranger: bool
    ) -> str | None:
        """The reason why a registration of this adapter type may not name this credential, or why it may not be sent to
        this endpoint; None if there is none.

        A stranger gets the same reason for every key that is not mapped, whether it exists or not.
        """
        source = self._source(credential)
        if not source:
            return None
        return (
            self._bounds_problem(source, endpoint, by_stranger)
            or self._source_problem(credential, source)
            or self._bounds.adapter_problem(source, adapter_type)
        )

    def key_for(self, model: RegisteredModel, endpoint: str) -> str:
        """The key of a registered model for one of its endpoints, or "" if it needs none.

        Raises what `read` raises, and PreconditionFailed CREDENTIAL_NOT_ALLOWED if the operator no longer allows it to
        be sent there.
        """
        source = self._source(model.credential)
        if not source:
            return ""
        if problem := self._bounds_problem(source, endpoint, model.untrusted):
            _refuse("CREDENTIAL_NOT_ALLOWED", f"the key of {source} {problem}", **_named(model.credential))
        return self.read(model.credential)

    def may_go_to(self, endpoint: str, model: RegisteredModel) -> bool:
        """Whether the key of a registered model, if it has one, may be sent to one of its endpoints."""
        source = self._source(model.credential)
        return not source or self._bounds_problem(source, endpoint, model.untrusted) is None

    def permitted_roots(self, credential: Credential, roots: Sequence[str]) -> Sequence[str]:
        """The possible roots of an API that a credential may be sent to; all, if it may be sent to none."""
        source = self._source(credential)
        if not source:
            return roots
        return tuple(root for root in roots if self._bounds.allow(source, root)) or roots

    def may_be_sent_to(self, url: str, credential: Credential) -> bool:
        """Whether a credential that may be sent to its model's endpoint may be sent to this URL, too."""
        return self._bounds.allow(self._source(credential), url)

    def read(self, credential: Credential) -> str:
        """The key without blanks around it, or "" if no credential is set.

        Raises PreconditionFailed, which names the variable or the file and never its content: CREDENTIAL_MISSING if
        there is no key, CREDENTIAL_INVALID if the text cannot be a key.
        """
        if credential.HasField("file"):
            return self._read_file(credential.file)
        if credential.env_var:
            return _read_variable(credential.env_var)
        return ""

    def keys(self) -> list[str]:
        """All existing keys that a registration may name. No error may quote them."""
        sources = self._bounds.sources()
        variables = {name for name in os.environ if _NAMES_A_KEY.search(name)} | {*sources}
        found = [os.environ.get(name, "") for name in variables]
        for source in sources:
            if source.startswith(FILE):
                with contextlib.suppress(PreconditionFailed):
                    found.append(self._read_file(source.removeprefix(FILE)))
        return [key.strip() for key in found if key.strip()]

    def _source(self, credential: Credential) -> str:
        return FILE + self._files.name(credential.file) if credential.HasField("file") else credential.env_var

    def _bounds_problem(self, source: str, endpoint: str | None, by_stranger: bool) -> str | None:
        if by_stranger and not self._bounds.is_mapped(source):
            return f"is not for callers of this platform; its operator must map it in {SETTING}"
        return self._bounds.problem(source, endpoint) if endpoint else None

    def _source_problem(self, credential: Credential, source: str) -> str | None:
        if credential.HasField("file"):
            return self._files.problem(credential.file)
        names_a_key = source.endswith("_API_KEY") or source.startswith("GENAI_") or self._bounds.is_mapped(source)
        if VARIABLE.fullmatch(source) and names_a_key:
            return None
        return "must be the name of a variable that ends in _API_KEY or begins with GENAI_, in capitals"

    def _read_file(self, file: str) -> str:
        if problem := self._files.problem(file):
            _refuse("CREDENTIAL_INVALID", f"the key's file {file} {problem}", file=file)
        try:
            data = self._files.read(file)
        except OSError:
            data = b""
        key = data.decode("ascii", "replace").strip()
        if not key:
            path = f"the file {file} below the directory that {key_files.SETTING} names"
            _refuse("CREDENTIAL_MISSING", f"there is no key; put it into {path}, readable to the service", file=file)
        if len(data) > MAX_FILE_BYTES or not _is_key(key):
            message = f"the file {file} holds characters that no key has, or too many; it must hold the key alone"
            _refuse("CREDENTIAL_INVALID", message, file=file)
        return key


def source_of(credential: Credential) -> str:
    """The source of a credential for the log. A text that is not a variable's name may be a pasted key."""
    if credential.HasField("file"):
        return FILE + credential.file[: key_files.MAX_PATH_LENGTH]
    is_name = not credential.env_var or VARIABLE.fullmatch(credential.env_var)
    return credential.env_var if is_name else "(no variable)"


def _read_variable(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        message = f"there is no key; set {variable} in the environment of the Model Service and restart it"
        _refuse("CREDENTIAL_MISSING", message, variable=variable)
    if not _is_key(key):
        message = f"{variable} holds characters that no key has; set it to the key alone"
        _refuse("CREDENTIAL_INVALID", message, variable=variable)
    return key


def _is_key(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _named(credential: Credential) -> dict[str, str]:
    if credential.HasField("file"):
        return {"file": credential.file}
    return {"variable": credential.env_var}


def _refuse(reason: str, message: str, **source: str) -> NoReturn:
    raise PreconditionFailed(message, reason=reason, metadata=source)
