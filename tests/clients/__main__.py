"""Lets the clients work: `python -m tests.clients [arguments of pytest]`, in a network that has nothing but this
machine, so that no client reaches anything else.

It ends well without a test where the clients are not installed or the system gives no such network.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
INSTALLED = ROOT / "build" / "clients" / ".ready"
INSIDE = "GENAI_TEST_CLIENTS"
"""Set where the tests run; elsewhere they are not collected."""

SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


def main(arguments: list[str]) -> int:
    if os.environ.get(INSIDE) == "alone":
        bring_loopback_up()
        named = any(Path(argument.partition("::")[0]).exists() for argument in arguments)
        return int(pytest.main(["-p", "no:cacheprovider", "-v", *arguments, *([] if named else [str(FOLDER)])]))
    if not INSTALLED.exists():
        print("The clients are skipped: they are not installed in build/clients.")
        return 0
    unshare = shutil.which("unshare")
    namespace = [unshare or "", "--map-root-user", "--net", "--"]
    if not unshare or subprocess.run([*namespace, "true"], check=False).returncode:
        print("The clients are skipped: unshare gives no network of its own here.")
        return 0
    command = [*namespace, sys.executable, "-m", "tests.clients", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, INSIDE: "alone"}, check=False).returncode


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
