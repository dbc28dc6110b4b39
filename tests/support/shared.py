"""Where the evaluation sets and models lie, and the skips that say what is missing."""

import pytest

from places import ROOT

SHARED = ROOT.parent / "shared"


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skips a test unless the evaluation set `name` is there."""
    return pytest.mark.skipif(
        not (SHARED / "data" / name).exists(), reason=f"evaluation set {name} is missing (../shared/data/{name})"
    )


def needs_model(name: str) -> pytest.MarkDecorator:
    """Skips a test unless the model folder `name` is there."""
    return pytest.mark.skipif(
        not (SHARED / "models" / name).exists(), reason=f"model {name} is missing (../shared/models/{name})"
    )
