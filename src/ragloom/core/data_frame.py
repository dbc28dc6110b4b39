"""Data frames of results, where pandas is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragloom.errors import ConfigError

if TYPE_CHECKING:
    import pandas


def data_frame(rows: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """Convert rows to a pandas data frame.

    Columns stand in the order of their first appearance.

    Raises:
        ConfigError: pandas is not installed.
    """
    try:
        module = importlib.import_module("pandas")
    except ImportError:
        raise ConfigError("to_pandas() needs pandas, which is not installed: run `pip install pandas`") from None
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return module.DataFrame(list(rows), columns=columns)
