"""Writes `.env.example` and the table of settings in README.md, from the fields of the services' settings, and the
README's tables of providers and adapter types, from the vendors' rows.

`python docs/settings.py` writes both files, `python docs/settings.py --check` fails when one is not current.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from docs.written_tables import with_table  # noqa: E402
from genai_platform.target import DEFAULT_TARGET, TARGET_VARIABLE  # noqa: E402
from services.gateway.main import GatewaySettings  # noqa: E402
from services.models.catalog.vendor import Vendor  # noqa: E402
from services.models.catalog.vendors import ADAPTER_TYPES, VENDORS  # noqa: E402
from services.models.settings import ModelsSettings, Settings  # noqa: E402
from services.sessions.main import SessionsSettings  # noqa: E402
from services.shared.settings import ServiceSettings  # noqa: E402
from services.shared.settings_help import Setting, documented, plain  # noqa: E402

README = ROOT / "README.md"
EXAMPLE = ROOT / ".env.example"

BEGIN = "<!-- written by docs/settings.py -->\n"
BEGIN_PROVIDERS = "<!-- providers, written by docs/settings.py -->\n"
BEGIN_ADAPTER_TYPES = "<!-- adapter types, written by docs/settings.py -->\n"

WIDTH = 120

CLIENTS = (
    Setting(TARGET_VARIABLE, "the gateway that the SDK calls", f"`{DEFAULT_TARGET}`"),
    Setting(
        "GENAI_API_KEY",
        "the key that the SDK and `genai` call with, where the gateway asks for one, or its file in"
        " `GENAI_API_KEY_FILE`",
        "none",
        "gk_...",
    ),
    Setting(
        "GENAI_MODEL",
        "the model of the SDK's chats that name neither a model nor a prompt, of `genai chat`, and of the examples",
        "none; in the examples the first that is configured",
    ),
)


class Section(NamedTuple):
    """The settings of one part of the platform."""

    title: str
    settings: Sequence[Setting]


def sections() -> Iterator[Section]:
    shown: set[str] = set()
    for title, settings in (
        ("Commercial providers: each is there when its key is", _own(Settings, ModelsSettings)),
        ("The Model Service", _own(ModelsSettings, ServiceSettings)),
        ("The Session Service", _own(SessionsSettings, ServiceSettings)),
        ("The gateway", _own(GatewaySettings, ServiceSettings)),
        ("Every service", documented(ServiceSettings)),
        ("The SDK and the examples", CLIENTS),
    ):
        new = [setting for setting in settings if setting.variable not in shown]
        shown.update(setting.variable for setting in new)
        yield Section(title, new)


def _own(settings_type: type[ServiceSettings], base: type[ServiceSettings]) -> list[Setting]:
    inherited = {setting.variable for setting in documented(base)}
    return [setting for setting in documented(settings_type) if setting.variable not in inherited]


def example() -> str:
    """The text of `.env.example`."""
    lines = [
        "# Copy to .env in the project root. An exported variable wins over this file. Everything here is optional.",
        "# Written by docs/settings.py.",
    ]
    for section in sections():
        lines += ["", f"# {f' {section.title} ':-^{WIDTH - 2}}"]
        for setting in section.settings:
            lines += ["", *_comment(setting), f"#{setting.variable}={setting.example or _value(setting.default)}"]
    return "\n".join(lines) + "\n"


def _comment(setting: Setting) -> list[str]:
    default = "" if _value(setting.default) else f" (default {setting.default})"
    text = f"{setting.description}{default}."
    return textwrap.wrap(
        plain(text[0].upper() + text[1:]),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _value(default: str) -> str:
    """The default itself, where it can be written as a value."""
    is_value = default.startswith("`") and default.endswith("`") and default.count("`") == 2
    return plain(default) if is_value else ""


def table() -> str:
    """The table in the README."""
    lines = ["| Variable | Default | |", "|---|---|---|"]
    for section in sections():
        lines.append(f"| **{section.title}** | | |")
        lines += [f"| `{each.variable}` | {each.default} | {each.description} |" for each in section.settings]
    return "\n".join(lines) + "\n"


def providers() -> str:
    """The table of providers in the README."""
    lines = ["| Provider | Names | Configured by |", "|---|---|---|"]
    lines += [f"| {vendor.title} | {_names(vendor)} | `{vendor.key_variable}` |" for vendor in VENDORS.values()]
    lines.append("| vLLM, and any OpenAI- or Anthropic-compatible server | what you register | `RegisterModel` |")
    return "\n".join(lines) + "\n"


def adapter_types() -> str:
    """The table of adapter types in the README."""
    lines = ["| `adapter_type` | Servers |", "|---|---|"]
    lines += [f"| `{adapter.name}` | {adapter.servers} |" for adapter in ADAPTER_TYPES.values()]
    return "\n".join(lines) + "\n"


def _names(vendor: Vendor) -> str:
    names = [f"`{name}`" for name in vendor.shown.names]
    if vendor.shown.ids:
        names.append(f"any {' or '.join(f'`{pattern}`' for pattern in vendor.shown.ids)} id")
    return ", ".join([*names, f"`{vendor.name}/id`"])


def readme() -> str:
    """The text of README.md with its tables as they should be."""
    text = README.read_text(encoding="utf-8")
    for begin, written in (
        (BEGIN_ADAPTER_TYPES, adapter_types()),
        (BEGIN_PROVIDERS, providers()),
        (BEGIN, table()),
    ):
        text = with_table(text, begin, written)
    return text


def outdated(files: Mapping[Path, str]) -> Iterable[Path]:
    return (path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    arguments = parser.parse_args()
    files = {README: readme(), EXAMPLE: example()}
    if arguments.check:
        names = [path.name for path in outdated(files)]
        if names:
            sys.exit(f"{', '.join(names)}: not current; run python docs/settings.py")
    else:
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
