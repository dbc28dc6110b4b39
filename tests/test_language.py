"""Language rules of the project: words that are not used, and the first line of a docstring.

The rules are those of CONTRIBUTING.md, "Plain English". They hold for code, comments, messages, configs, tests and docs.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import ROOT

NOT_USED = {
    "anew": "again",
    "beside": "next to, with, compared with",
    "mend(s|ed|ing)?": "fix",
    "told": "notified, reported; as a name: the noun of its type",
    "in step": "in sync",
    "is given": "receives, takes",
    "what came of": "the result of",
    "of its own": "separate, own",
    "there is none": "none exists, missing",
    "whoever": "the caller, the user",
    "knows (no|nothing)": "an import contract (pyproject.toml)",
}
"""What is not written -> what is written."""
WORDS = {re.compile(rf"\b{words}\b", re.IGNORECASE): better for words, better in NOT_USED.items()}
FILE_FORMATS = re.compile(r"""["']told["']|\btold (TEXT|= \?|FROM)|changed, told""")
"""The sweep log's column and JSON key `told` are older than the rule."""
FIRST_LINE_WORDS = 12
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PARTICIPLES = {"told", "given", "found", "kept", "made", "said", "asked", "there"}
FOLDERS = ("src", "conf", "scripts", "benchmarks", "tests", "docs")
SKIPPED = ("tests/cases", "tests/golden", "tests/upgrade", "docs/ko", "sample")


def files(*suffixes: str, folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    found = [*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    names = {path: path.relative_to(ROOT).as_posix() for path in found}
    return sorted(
        path
        for path, name in names.items()
        if path.suffix in suffixes and not any(part in name for part in SKIPPED) and ".ko." not in name
    )


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, without code spans of Markdown."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= path.suffix == ".md" and line.lstrip().startswith("```")
        yield number, "" if fenced else line


@pytest.mark.parametrize("suffix", [".py", ".yaml", ".md"])
def test_words_that_are_not_used(suffix: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}; write: {better}"
        for path in files(suffix)
        if path.name not in (Path(__file__).name, "CHANGELOG.md")
        for number, line in prose(path)
        for word, better in WORDS.items()
        for match in word.finditer(FILE_FORMATS.sub("", line))
    ]
    assert not wrong, f"{len(wrong)} lines\n" + "\n".join(wrong)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text.partition("\n")[0]


def test_first_line_of_a_docstring_has_at_most_12_words() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {len(first.split())} words: {first}"
        for path in files(".py", folders=("src",))
        for number, first in docstrings(path)
        if len(first.split()) > FIRST_LINE_WORDS
    ]
    assert not wrong, f"{len(wrong)} docstrings\n" + "\n".join(wrong)


def test_local_names_are_nouns_and_no_participles() -> None:
    wrong = []
    for path in files(".py", folders=("src",)):
        functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, FUNCTIONS)]
        for node in (node for function in functions for node in ast.walk(function)):
            name = node.arg if isinstance(node, ast.arg) else None
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            if name in PARTICIPLES:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert not wrong, f"{len(wrong)} names\n" + "\n".join(wrong)


def _documented(docstring: str, section: str) -> list[str]:
    """List the names of a docstring's section: `a, b: text` at its first indent."""
    found = re.search(rf"^( *){section}:\n((?:\1 +.*\n|\n)*)", docstring + "\n", re.M)
    lines = [line for line in found[2].split("\n") if line.strip()] if found else []
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    heads = [re.match(r" *([\w*, ]+?)(?: \([^)]*\))?:", line) for line in lines if line[indent] != " "]
    return [name.strip().lstrip("*") for head in heads if head for name in head[1].split(",")]


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    if isinstance(node, ast.ClassDef):
        fields = {
            item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and hasattr(item.target, "id")
        }
        makers = [
            item for item in node.body if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__new__")
        ]
        return fields.union(*map(_parameters, makers))
    return {item.arg for item in ast.walk(node.args) if isinstance(item, ast.arg)}


def test_documented_arguments_are_parameters() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for name in _documented(ast.get_docstring(node) or "", "Args")
        if name not in _parameters(node)
    ]
    assert not wrong, "\n".join([f"{len(wrong)} names", *wrong])
