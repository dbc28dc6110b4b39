"""The garbage collector during long work."""

from __future__ import annotations

import gc

import pytest

from ragloom.core.garbage_collection import older_objects_unscanned


@pytest.fixture(autouse=True)
def nothing_frozen() -> None:
    """A program that another test ran in this process may have frozen its objects."""
    gc.unfreeze()


def test_older_objects_are_left_out_inside_the_block_only() -> None:
    assert gc.get_freeze_count() == 0
    with older_objects_unscanned():
        assert gc.get_freeze_count() > 0
        with older_objects_unscanned():
            pass
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_error_ends_the_block_as_well() -> None:
    with pytest.raises(ValueError, match="stop"), older_objects_unscanned():
        raise ValueError("stop")
    assert gc.get_freeze_count() == 0


def test_objects_frozen_by_the_application_stay_frozen() -> None:
    gc.freeze()
    try:
        with older_objects_unscanned():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
