"""`.env.example`, the README's table and `--help` have every setting."""

from __future__ import annotations

from collections.abc import Iterator

from docs.settings import EXAMPLE, README, example, readme, sections
from services.shared.settings import ServiceSettings
from services.shared.settings_help import describe_environment


def every_settings_type(of: type[ServiceSettings] = ServiceSettings) -> Iterator[type[ServiceSettings]]:
    for settings_type in of.__subclasses__():
        if settings_type.__module__.startswith("services."):
            yield settings_type
            yield from every_settings_type(settings_type)


def test_documents_are_current() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example()
    assert README.read_text(encoding="utf-8") == readme()


def test_every_variable_of_every_service_is_documented() -> None:
    documented = {setting.variable for section in sections() for setting in section.settings}
    types = list(every_settings_type())
    packages = {settings_type.__module__.split(".")[1] for settings_type in types}
    assert packages == {"models", "sessions", "gateway", "access", "shared"}
    for settings_type in types:
        variables = {str(field.validation_alias) for field in settings_type.model_fields.values()}
        assert variables <= documented
        assert all(f"  {variable} " in describe_environment(settings_type) for variable in variables)


def test_no_variable_is_documented_twice() -> None:
    variables = [setting.variable for section in sections() for setting in section.settings]
    assert len(set(variables)) == len(variables)
