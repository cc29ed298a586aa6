"""What is installed from the two distributions, each in an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import EXIT_CONFIG, ROOT, environment

OWN_PROTO = 'syntax = "proto3";\npackage mine;\nmessage Own { string name = 1; }\n'


class Venv:
    """A virtual environment with distributions of ours; all else is seen in the environment of the tests."""

    def __init__(self, directory: Path, *wheels: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
        self.scripts = directory / "bin"
        self.python = str(self.scripts / "python")
        pip = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", "--disable-pip-version-check"]
        files = [str(wheel) for wheel in wheels]
        subprocess.run([*pip, "install", "--no-deps", "--no-index", "--no-compile", *files], check=True)
        library = sysconfig.get_path("purelib", vars={"base": str(directory)})
        # Of a directory that is added like this no .pth file is read, so nothing of this checkout is seen.
        Path(library, "others.pth").write_text(sysconfig.get_path("purelib"))

    def run(self, *command: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a script of the environment, or `python`, in the directory."""
        program = str(self.scripts / command[0])
        return subprocess.run(
            [program, *command[1:]],
            cwd=directory,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def build(project: Path, directory: Path) -> Path:
    """The wheel that is built from the project in a folder."""
    program = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(directory)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return directory / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheels of the SDK and of the services."""
    directory = tmp_path_factory.mktemp("wheels")
    return build(ROOT, directory), build(ROOT / "services", directory)


@pytest.fixture(scope="module")
def application(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """The environment of an application."""
    return Venv(tmp_path_factory.mktemp("application"), wheels[0])


@pytest.fixture(scope="module")
def servers(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """The environment of the services."""
    return Venv(tmp_path_factory.mktemp("servers"), *wheels)


def top_level(wheel: Path) -> set[str]:
    return {name for file in zipfile.ZipFile(wheel).namelist() if not (name := file.partition("/")[0]).endswith("info")}


def test_each_distribution_has_its_own_names(wheels: tuple[Path, Path]) -> None:
    assert [top_level(wheel) for wheel in wheels] == [{"genai_platform", "proto"}, {"services"}]


def test_application_gets_the_sdk_and_the_command_and_no_services(application: Venv, tmp_path: Path) -> None:
    code = (
        "import genai_platform, importlib.util\n"
        "from importlib.metadata import metadata\n"
        "from genai_platform import ChatRequest\nfrom proto import models_pb2\n"
        "assert models_pb2.ChatRequest is ChatRequest\n"
        "assert genai_platform.__version__ == metadata('genai-platform')['Version']\n"
        "print(genai_platform.__file__, importlib.util.find_spec('services'))"
    )
    found = application.run("python", "-c", code, directory=tmp_path)
    assert found.returncode == 0, found.stderr
    file, services = found.stdout.split()
    assert Path(file).is_relative_to(application.scripts.parent)
    assert services == "None"
    helped = application.run("genai", "--help", directory=tmp_path)
    assert helped.returncode == 0, helped.stderr
    assert helped.stdout.startswith("Usage: genai ")


def test_command_names_the_distribution_that_it_lacks(application: Venv, tmp_path: Path) -> None:
    refused = application.run("genai", "keys", "create", "--admin", directory=tmp_path)
    assert refused.returncode == 1
    assert "pip install genai-platform-services" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_application_with_its_own_proto_and_services(application: Venv, tmp_path: Path) -> None:
    for package in ("proto", "services"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "services" / "mine.py").write_text("NAME = 'mine'\n")
    (tmp_path / "proto" / "models.proto").write_text(OWN_PROTO)
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "proto/models.proto"]
    subprocess.run(protoc, cwd=tmp_path, check=True)
    code = (
        "from proto import models_pb2\nfrom services import mine\n"
        "from genai_platform import ChatMessage, ChatRequest, GenAIPlatform\n"
        "request = ChatRequest(model='m', messages=[ChatMessage(role='user', content='Hi')])\n"
        "GenAIPlatform().close()\n"
        "print(mine.NAME, models_pb2.Own(name='own').name, request.model)"
    )
    found = application.run("python", "-c", code, directory=tmp_path)
    assert found.stdout.split() == ["mine", "own", "m"], found.stderr


@pytest.fixture
def decoy(tmp_path: Path) -> Path:
    """A project with a package called `services`, as the current directory."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('the wrong services')\n")
    return tmp_path


def test_servers_are_found_whatever_lies_in_the_current_directory(servers: Venv, decoy: Path) -> None:
    helped = servers.run("genai-gateway", "--help", directory=decoy)
    assert helped.stdout.startswith("usage: gateway "), helped.stderr
    helped = servers.run("python", "-P", "-m", "services.models.main", "--help", directory=decoy)
    assert helped.stdout.startswith("usage: models "), helped.stderr
    migrated = servers.run("genai-models", "--migrate", directory=decoy, GENAI_DATA_DIR=str(decoy / "data"))
    assert migrated.returncode == 0, migrated.stderr
    assert (decoy / "data" / "models.db").is_file()


def test_installed_server_starts_and_stops(servers: Venv, decoy: Path) -> None:
    variables = environment(GENAI_DATA_DIR=str(decoy / "data"), SESSIONS_PORT="0")
    process = subprocess.Popen(
        [str(servers.scripts / "genai-sessions")],
        cwd=decoy,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("sessions: listening on 127.0.0.1:")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0


def test_serve_says_what_to_install_where_the_services_are_not(application: Venv, tmp_path: Path) -> None:
    ended = application.run("genai", "serve", directory=tmp_path)
    assert ended.returncode == EXIT_CONFIG
    assert ended.stderr.endswith("not installed; run: pip install genai-platform-services\n")
    assert ended.stdout == ""
