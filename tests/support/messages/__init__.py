"""Wording of the program's messages, one helper per message: tests pass values, helpers hold words.

A helper returns plain text, for `==` and `in`. `wording` makes a pattern of it, for `pytest.raises(match=...)`.
"""

import re

ANY = "\ue000"
"""Stands for a part of a message that a test leaves open."""
NUMBER = "\ue001"
"""Stands for a whole number that a test leaves open."""
WORD = "\ue002"
"""Stands for a part without blanks that a test leaves open."""
EVALUATE = "\ue003"
"""Stands for the program `evaluate`, as it was started."""
OPEN = {ANY: ".*", NUMBER: r"\d+", WORD: r"\S+", EVALUATE: r"\S*( evaluate|evaluate\.py)"}


def wording(*parts: str) -> str:
    """A pattern that finds the parts in this order, with any text between them."""
    pattern = ".*".join(re.escape(part) for part in parts)
    for placeholder, meaning in OPEN.items():
        pattern = pattern.replace(placeholder, meaning)
    return pattern


def whole_wording(message: str) -> str:
    """A pattern of the whole message."""
    return f"^{wording(message)}$"


def wording_at_start(*parts: str) -> str:
    """A pattern that finds the parts in this order, the first at the start of a message."""
    return f"^{wording(*parts)}"
