"""MODELS_FALLBACKS, MODELS_TIMEOUTS and MODELS_MAX_REQUESTS."""

from __future__ import annotations

import pytest

from services.models.providers.timeouts import NO_TIMEOUTS, Timeouts
from services.models.routing.fallbacks import read_fallbacks
from services.models.routing.request_limits import read_request_limits
from services.models.routing.timeouts import read_timeout_settings
from services.shared.errors import StartupError
from tests.rows import for_each


def test_fallbacks_are_read_with_spaces_and_a_last_comma() -> None:
    text = " gpt-4o = claude-opus-5 + local , smart=fast,"
    assert read_fallbacks(text) == {"gpt-4o": ["claude-opus-5", "local"], "smart": ["fast"]}
    assert read_fallbacks("") == {}


@for_each("text", ["gpt-4o", "gpt-4o=", "=x", "a=b+", "a=b c", "a=a", "a=b+b", "a=b,a=c"])
def test_fallbacks_that_cannot_be_meant_stop_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="MODELS_FALLBACKS"):
        read_fallbacks(text)


def test_timeouts_are_read_by_provider_and_by_model() -> None:
    text = "openai.first_output=60, gpt-5.2.total = 0.5,openai.silence=30,"
    assert read_timeout_settings(text) == {
        "openai": Timeouts(first_output=60.0, silence=30.0),
        "gpt-5.2": Timeouts(total=0.5),
    }
    assert read_timeout_settings("") == {}


@for_each(
    "text", ["openai", "openai=3", "openai.idle=3", ".total=3", "a b.total=3", "a.total=x", "a.total=0", "a.total=nan"]
)
def test_timeouts_that_cannot_be_meant_stop_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="MODELS_TIMEOUTS"):
        read_timeout_settings(text)


def test_own_timeouts_win_over_others() -> None:
    own, other = Timeouts(connect=1.0), Timeouts(connect=2.0, total=3.0)
    assert own.over(other) == Timeouts(connect=1.0, total=3.0)
    assert NO_TIMEOUTS.over(NO_TIMEOUTS).http() is None


def test_request_limits_are_read_by_provider_and_by_model() -> None:
    assert read_request_limits(" openai = 500,my/llama=16,") == {"openai": 500, "my/llama": 16}
    assert read_request_limits("") == {}


@for_each("text", ["openai", "openai=", "=3", "a b=3", "a=0", "a=-1", "a=1.5", "a=x", "a=9999999", "a=1,a=2", "a=²"])
def test_request_limits_that_cannot_be_meant_stop_the_start(text: str) -> None:
    with pytest.raises(StartupError, match="MODELS_MAX_REQUESTS"):
        read_request_limits(text)
