"""README and docs: both languages agree, every command and key exists, and the output shown is what is printed."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ragloom.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAIRS = {
    "README.md": "README.ko.md",
    "docs/tutorials/start.md": "docs/ko/start.md",
    "docs/tutorials/own-documents.md": "docs/ko/own-documents.md",
    "docs/tutorials/own-questions.md": "docs/ko/own-questions.md",
    "docs/how-to/which-configuration.md": "docs/ko/which-configuration.md",
    "docs/how-to/weaviate.md": "docs/ko/weaviate.md",
}
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
)
GENERATED = "docs/reference/options.md"
EXTENSION = ROOT / "docs" / "tutorials" / "extension"
EXAMPLES = {"chunking=my_chunker", "experiment=recommended", "prices=NAME"}  # options that the reader makes
VERBS = {  # of each verb that takes flags, its help
    "init": ["init"],
    "query": ["query"],
    "compare": ["compare"],
    **{
        f"indexes {verb}": ["indexes", verb]
        for verb in ("list", "show", "compare", "delete", "rebuild", "promote", "prune")
    },
    **{f"cache {verb}": ["cache", verb] for verb in ("show", "verify", "prune")},
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def option_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("option_tables", ROOT / "scripts" / "option_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and content of each code block; indented blocks have no language."""
    return [
        (fence[1] or "", fence[2]) if fence[2] is not None else ("", fence[0])
        for fence in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$|(?<=\n\n)(?: {4}[^\n]+\n)+", text_of(page), re.M | re.S)
    ]


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$|(?<=\n\n)(?: {4}[^\n]+\n)+", "", text_of(page), flags=re.M | re.S)


def commands(page: str) -> Iterator[list[str]]:
    """Each `ragloom` command of the code blocks, split as a shell does."""
    for language, content in blocks(page):
        if language in ("", "console", "text"):
            for line in content.replace("\\\n", " ").splitlines():
                if (command := line.strip().removeprefix("$ ")).startswith("ragloom "):
                    yield shlex.split(command)[1:]


def overrides(page: str) -> Iterator[str]:
    """Each `key=value` of commands and of inline code."""
    for command in commands(page):
        yield from (token for token in command if re.match(r"[a-z_]+[a-z_./]*=\S*$", token))
        for at, token in enumerate(command):
            if token == "--keep":
                yield from shlex.split(command[at + 1])
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        yield from (token for token in code.split() if re.fullmatch(r"[a-z_]+[a-z_./]*=[^\s=]*", token))


@pytest.mark.parametrize("english", PAIRS)
def test_both_languages_have_the_same_headings_commands_and_code(english: str) -> None:
    korean = PAIRS[english]
    levels = [re.findall(r"^(#+) ", prose(page), re.M) for page in (english, korean)]
    assert levels[0] == levels[1]
    assert blocks(english) == blocks(korean)
    code = [set(re.findall(r"`([^`\n]+)`", prose(page))) for page in (english, korean)]
    assert {item for item in code[0] ^ code[1] if item.isascii()} == set()


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_readme_is_read_in_two_minutes(page: str) -> None:
    assert len(text_of(page).splitlines()) < 150


@pytest.mark.parametrize("page", [page for page in PAGES if page != GENERATED])
def test_every_option_and_key_of_a_page_exists(page: str) -> None:
    tables = option_tables()
    folders = [ROOT / "conf", EXTENSION / "conf"]
    files = {
        group.name: {path.stem: path for folder in folders for path in (folder / group.name).glob("*.yaml")}
        for group in (ROOT / "conf").iterdir()
    }
    known = {key for key, *_ in tables.keys((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))}
    for group, options in files.items():
        known |= {
            f"{group}.{key}" for path in options.values() for key, *_ in tables.keys(path.read_text(encoding="utf-8"))
        }
    for override in overrides(page):
        key, _, value = override.partition("=")
        if (
            key.startswith("hydra/")
            or override in EXAMPLES
            or key in ("tests", "key", "group", "document.text[start:end]")
        ):
            continue
        if key in files:
            assert not value or set(value.split(",")) <= set(files[key]), f"{page}: {override}"
        else:
            assert key in known, f"{page}: {override}"


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_and_flag_of_a_page_exists(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page):
        verb = next((name for name in VERBS if command[: len(VERBS[name])] == VERBS[name]), command[0])
        flags = {flag for token in command for flag in FLAG.findall(token)[:1] if token.startswith("--")}
        if verb in VERBS:
            assert flags <= {*help_flags(verb, capsys)}, f"{page}: {command}"
        else:
            assert verb in ("ingest", "evaluate", "benchmark"), f"{page}: {command}"
            assert flags <= {"--config-dir", "--cfg", "--project", *(["--json"] if verb == "benchmark" else [])}, (
                f"{page}: {command}"
            )


def help_flags(verb: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit):
        main([*VERBS[verb], "--help"])
    return FLAG.findall(capsys.readouterr().out)


def test_command_line_page_has_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    page = text_of("docs/reference/command-line.md")
    for verb in VERBS:
        assert {*help_flags(verb, capsys)} <= {*FLAG.findall(page)}, verb


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("docs/")] + ["CHANGELOG.md"])
def test_links_of_a_page_outside_the_site_exist(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(page)):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_option_tables_are_those_of_conf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tables = option_tables()
    monkeypatch.setattr(sys, "argv", ["option_tables.py", "--check"])
    assert tables.main() == 0, "run: make docs"
    stale = tmp_path / "options.md"
    stale.write_text(
        text_of(GENERATED).replace("| `chunk_size` | `256` |", "| `chunk_size` | `257` |"), encoding="utf-8"
    )
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "PAGE", stale)
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    assert tables.main() == 1
    monkeypatch.setattr(sys, "argv", ["option_tables.py"])
    assert tables.main() == 0
    assert stale.read_text(encoding="utf-8") == text_of(GENERATED)


def test_option_table_has_nested_keys_defaults_and_comments() -> None:
    text = '_target_: a.b\nname: "x | y" # a | b, *c*\nouter: # both ...\n  inner: [1, 2] # ... this one\nbody: | # text\n  key: no\n'
    assert list(option_tables().keys(text)) == [
        ("name", '"x | y"', "a | b, *c*"),
        ("outer", "", "both ..."),
        ("outer.inner", "[1, 2]", "... this one"),
        ("body", "", "text"),
    ]
    assert '| `name` | `"x | y"` | a \\| b, \\*c\\* |' in option_tables().table(text)


def test_glossary_has_each_term_once() -> None:
    terms = [
        term for row in re.findall(r"^\| \*\*(.+?)\*\*", text_of("docs/glossary.md"), re.M) for term in row.split(", ")
    ]
    assert len(terms) == len(set(terms)) > 80


def sessions() -> dict[str, list[tuple[str, str]]]:
    """Each command of the `console` blocks, with the pages that show it and the output shown there."""
    found: dict[str, list[tuple[str, str]]] = {}
    for page in PAGES:
        for language, content in blocks(page):
            if language == "console":
                for part in content.removeprefix("$ ").split("\n$ "):
                    command, _, shown = part.partition("\n")
                    found.setdefault(command, []).append((page, shown))
    return found


def lines_of(output: str) -> list[str]:
    """Lines without what differs from run to run: blanks at the end, and the last column if it is seconds."""
    return [re.sub(r"\s+\d+\.\d$", "", line.rstrip()) for line in output.rstrip().splitlines()]


def has_shown(shown: list[str], printed: list[str]) -> bool:
    """Whether the lines were printed in this order, next to each other where no `...` stands between."""
    if not shown:
        return not printed
    if shown[0] == "...":
        return any(has_shown(shown[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and has_shown(shown[1:], printed[1:])


@pytest.mark.slow
def test_output_shown_is_what_is_printed(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, places in sessions().items():
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        for page, shown in places:
            assert has_shown(lines_of(shown), lines_of(done.stdout)), f"{page}: {command} prints\n{done.stdout}"
