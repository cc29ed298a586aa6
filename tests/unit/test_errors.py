"""The error classes, and their mapping to statuses."""

from __future__ import annotations

import inspect
import re

from services.models.providers.errors.faults import MEANINGS
from services.shared import errors
from services.shared.errors import FieldViolation, InvalidRequest, PlatformError, Unimplemented
from services.shared.rpc import STATUS_CODES
from tests.rows import for_each

UPPER_SNAKE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PlatformError)]


def test_every_error_has_a_status_of_its_own() -> None:
    assert set(STATUS_CODES) == set(FAMILY) - {PlatformError}
    assert len(set(STATUS_CODES.values())) == len(STATUS_CODES)


@for_each("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_reason_is_upper_snake(kind: type[PlatformError]) -> None:
    assert UPPER_SNAKE.fullmatch(kind("what to do").reason)


def test_reasons_of_providers_are_upper_snake_and_have_a_status() -> None:
    for reason, meaning in MEANINGS.items():
        assert UPPER_SNAKE.fullmatch(reason)
        assert meaning.error in STATUS_CODES


def test_every_error_is_in_the_tree_of_its_module() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in FAMILY} - {"PlatformError"}


def test_error_about_a_field_names_it_in_both_places() -> None:
    error = InvalidRequest.field("messages[2].role", "is not a role", reason="BAD_ROLE")
    assert (error.message, error.reason) == ("messages[2].role: is not a role", "BAD_ROLE")
    assert error.violations == (FieldViolation("messages[2].role", "is not a role"),)


def test_unimplemented_feature_is_named() -> None:
    error = Unimplemented.feature("PreviewChat")
    assert (error.message, error.metadata) == ("PreviewChat is not implemented yet", {"feature": "PreviewChat"})


def test_metadata_is_the_errors_own() -> None:
    given = {"provider": "openai"}
    error = PlatformError("what to do", metadata=given)
    given["provider"] = "another"
    assert error.metadata == {"provider": "openai"}
