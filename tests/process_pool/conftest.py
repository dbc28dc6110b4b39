"""Fixtures for tests of the process pool."""

from __future__ import annotations

import secrets

import pytest


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mark in the environment of all processes that a test starts."""
    mark = f"ragloom-test-{secrets.token_hex(8)}"
    monkeypatch.setenv("RAGLOOM_TEST_MARK", mark)
    return mark
