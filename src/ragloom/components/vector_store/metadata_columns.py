"""Metadata as text columns, one per key, and as lossless JSON.

A value is stored as a *token*: its type's letter and a text that is equal when values are equal in Python and ordered
as Python orders them. So an engine compares text only, and a filter (`filter_tree`) answers exactly as Python would.

* Numbers compare exactly, as in Python: `2**53 + 1` is not `2.0**53`, and `True == 1 == 1.0`. NaN equals nothing.
* A missing key and `None` are the same: they have no token.
* Lists and dicts are kept whole, element by element (of a dict: its keys).

The lossless metadata is stored as JSON as well; columns are for filtering only.
"""

from __future__ import annotations

import functools
import json
import math
import re
from typing import Any

from ragloom.core.records import sha256
from ragloom.errors import DataError

PREFIX = "m_"
"""Metadata columns begin with this, and no other column does."""
LONGEST_NAME = 230
"""Names of columns are at most so long: Weaviate refuses longer ones (its files are named by them)."""

NUMBER, TEXT, NAN, LIST, DICT, NONE = "n", "s", "u", "l", "d", "z"
"""The letters that tokens begin with: the type of the value."""
_OTHER_NAN = "v"
END = "\x00"
"""Begins a list's elements and ends each of them; elements are escaped so that they hold none."""
_EXPONENT_ZERO = 1 << 19
_MAX_BITS = 14_000  # Python reads back integers of at most 4,300 digits


@functools.lru_cache(maxsize=4096)
def column(key: str) -> str:
    """Return the column name of a metadata key: legal and unique.

    A key that would make too long a name is named by its digest, with an odd underscore, which no escaped key has.

    >>> column("page label"), column("부서")
    ('m_page_20_label', 'm__bd80__c11c_')
    """
    name = PREFIX + re.sub(r"[^a-z0-9]", lambda match: f"_{ord(match[0]):x}_", key)
    return name if len(name) <= LONGEST_NAME else f"{PREFIX}_{sha256(name)}"


def to_json(metadata: dict[str, Any], where: str) -> str:
    """Serialise metadata so that reading it back gives equal metadata.

    Args:
        where: the document, for the message.

    Raises:
        DataError: a value is none that JSON can hold (a date, a tuple, a key that is not text).
    """
    wrong = [key for key, value in metadata.items() if not (type(key) is str and _is_json(value))]
    if wrong:
        raise DataError(
            f"vector_store: metadata {wrong[0]!r} of {where} must be text, number, boolean, null, or a list or dict of "
            f"these, and is or holds something else ({type(metadata[wrong[0]]).__name__}); turn it into text first"
        )
    return json.dumps(metadata)


def tokens(metadata: dict[str, Any]) -> dict[str, str]:
    """Convert metadata to columns: name -> token.

    Keys whose value is None have no column.
    """
    return {column(key): token(value) for key, value in metadata.items() if value is not None}


def token(value: Any, *, sought: bool = False) -> str:
    """Encode a value as a token, ordered as Python orders its type.

    Args:
        sought: the value is a filter's, not a document's: only NaN differs, so that it never equals itself.
    """
    if isinstance(value, str):
        return TEXT + value
    if isinstance(value, bool | int):
        return NUMBER + _sortable(int(value), 1)
    if isinstance(value, float):
        if math.isnan(value):
            return _OTHER_NAN if sought else NAN
        if math.isinf(value):
            return NUMBER + ("7" if value > 0 else "3")
        return NUMBER + _sortable(*value.as_integer_ratio())
    if isinstance(value, list):
        return LIST + END + "".join(element(item, sought=sought) for item in value)
    if isinstance(value, dict):
        return DICT + END + "".join(element(key, sought=sought) for key in value)
    return NONE


def elements(value: list[Any] | dict[str, Any]) -> list[str]:
    """Return the distinct tokens of list elements or dict keys."""
    return list(dict.fromkeys(map(token, value)))


def element(value: Any, *, sought: bool = False) -> str:
    """Encode a list element without end marks and in list order."""
    return token(value, sought=sought).replace("\x01", "\x01\x02").replace(END, "\x01\x01") + END


def _is_json(value: Any) -> bool:
    """Return whether a value survives a JSON round trip unchanged.

    Subclasses, tuples and keys that are not text change type.
    """
    kind = type(value)
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if kind is int:
        return int(value).bit_length() < _MAX_BITS
    return kind in (str, float, bool, type(None))


@functools.lru_cache(maxsize=4096)
def _sortable(numerator: int, denominator: int) -> str:
    """Encode numerator / denominator (a power of 2) exactly, ordered as numbers.

    The parts are sign, exponent and mantissa.

    The mantissa's bits after the leading one are hexadecimal digits without trailing zeros, so that a shorter one is
    the smaller; for negative numbers all digits are complemented and `g` (above `f`) ends them.
    """
    if numerator == 0:
        return "5"
    magnitude = abs(numerator)
    exponent = magnitude.bit_length() - denominator.bit_length()
    magnitude >>= (magnitude & -magnitude).bit_length() - 1
    bits = magnitude.bit_length() - 1
    padding = -bits % 4
    digits = f"{exponent + _EXPONENT_ZERO:05x}"
    if bits:
        digits += f"{(magnitude - (1 << bits)) << padding:0{(bits + padding) // 4}x}"
    if numerator > 0:
        return "6" + digits
    return "4" + digits.translate(_COMPLEMENT) + "g"


_COMPLEMENT = str.maketrans("0123456789abcdef", "fedcba9876543210")
