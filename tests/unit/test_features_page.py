"""docs/features.md says what the dialects do now."""

from __future__ import annotations

from docs.feature_requests import features
from docs.features import FILE, page


def test_page_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == page()


def test_no_two_features_share_a_name() -> None:
    names = [(feature.group, feature.name) for feature in features()]
    assert len(set(names)) == len(names)
