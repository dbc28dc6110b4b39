"""Line patterns of Markdown: headings, fences, items, rules, HTML (CommonMark 0.31)."""

from __future__ import annotations

import re
from collections.abc import Sequence

ATX = re.compile(r"(#{1,6})(?:[ \t]+(.*))?$")
FENCE = re.compile(r"(`{3,}+(?=[^`]*$)|~{3,})")
UNDERLINE = re.compile(r"(?:=+|-+)[ \t]*$")
RULE = re.compile(r"(?:(?:\*[ \t]*+){3,}+|(?:-[ \t]*+){3,}+|(?:_[ \t]*+){3,}+)$")
ITEM = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?=[ \t]|$)")
TABLE_RULE = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+$")
"""Possessive: a line of a million blanks would otherwise take quadratic time."""
_REFERENCE = re.compile(
    r"""\[(?:[^\[\]\\]|\\.){1,999}\]:[ \t]*(?:<[^<>]*>|[^\s<]\S*)(?:[ \t]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?[ \t]*$"""
)
_FRONT_MATTER = {  # mark: what its lines begin with, and a line with a key
    "---": (re.compile(r"[\w\"'.-][^:]*:(?:\s|$)|#|\s|- |$"), re.compile(r"[\w\"'.-][^:]*:(?:\s|$)")),
    "+++": (re.compile(r".*"), re.compile(r"[\w\"'.-]+\s*=|\[")),
}
# fmt: off
_BLOCK_TAGS = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|"
    "fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|"
    "menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|"
    "track|ul"
)
# fmt: on
_RAW_TAGS = "script|pre|style|textarea"
_ATTRIBUTE = r"""\s++[a-zA-Z_:][\w.:-]*+(?:\s*+=\s*+(?:[^\s"'=<>`]++|'[^']*+'|"[^"]*+"))?+"""
BLANK_LINE = re.compile(r"\A\s*\Z")
_HTML_STARTS = [  # start, end
    (re.compile(rf"<(?:{_RAW_TAGS})(?:\s|>|$)", re.I), re.compile(rf"</(?:{_RAW_TAGS})>", re.I)),
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<\?"), re.compile(r"\?>")),
    (re.compile(r"<![a-zA-Z]"), re.compile(r">")),
    (re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>")),
    (re.compile(rf"</?(?:{_BLOCK_TAGS})(?:\s|/?>|$)", re.I), BLANK_LINE),
]  # fmt: skip
_HTML_TAG = re.compile(rf"(?:<[a-zA-Z][a-zA-Z0-9-]*+(?:{_ATTRIBUTE})*+\s*+/?>|</[a-zA-Z][a-zA-Z0-9-]*+\s*+>)\s*$")


def html_end(text: str, *, interrupts: bool) -> re.Pattern[str] | None:
    """Return the end of the HTML block begun by a line.

    It matches the last line, or the blank line behind it; None without a block. A single unknown tag does not interrupt
    a paragraph.
    """
    for start, end in _HTML_STARTS:
        if start.match(text):
            return end
    return None if interrupts or not _HTML_TAG.match(text) else BLANK_LINE


def fence_end(fence: str) -> re.Pattern[str]:
    """Return the pattern of a fence's last line, without indent."""
    return re.compile(rf"{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")


def front_matter_length(lines: Sequence[str]) -> int:
    """Count the lines of YAML (`---`) or TOML (`+++`) front matter."""
    mark = lines[0].rstrip() if lines else ""
    if mark not in _FRONT_MATTER:
        return 0
    allowed, key = _FRONT_MATTER[mark]
    keys = 0
    for number in range(1, len(lines)):
        line = lines[number].rstrip()
        if line == mark or (line == "..." and mark == "---"):
            return number + 1 if keys else 0
        if not allowed.match(line):
            return 0
        keys += bool(key.match(line))
    return 0


def title_lines(lines: list[str]) -> list[str]:
    """Remove the link reference definitions at the start of a paragraph."""
    at = 0
    while at < len(lines) and _REFERENCE.match(lines[at]):
        at += 1
    return lines[at:]


def atx_title(text: str) -> str:
    """Return the text of a heading without closing hashes."""
    title = text.strip()
    open = title.rstrip("#")
    return open.strip() if not open or open[-1] in " \t" else title
