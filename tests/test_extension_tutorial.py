"""The package of docs/tutorials/extension.md: the page shows its code, and it installs, runs and measures."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from messages.config import greater_than
from ragloom.assembly import Assembly
from ragloom.config.config import load
from ragloom.errors import ConfigError
from test_docs import EXTENSION, blocks, has_shown, lines_of

PAGE = "docs/tutorials/extension.md"
OPTIONS = ["chunking=sentences", "embedding=ngrams", "reranker=overlap"]
FILES = sorted(
    path for path in EXTENSION.rglob("*") if path.suffix in (".toml", ".py", ".yaml") and path.name != "__init__.py"
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes the package importable, as an installation does."""
    monkeypatch.syspath_prepend(str(EXTENSION / "src"))
    forget()  # other tests have packages of that name
    yield
    forget()


def forget() -> None:
    """Remove the package from the modules that are imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_rag"]:
        del sys.modules[name]


def config(*overrides: str) -> Assembly:
    (chosen,) = load([*OPTIONS, "extensions=[my_rag]", *overrides], extra_dir=str(EXTENSION / "conf"))
    return Assembly(chosen)


def problems(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config(*overrides)
    return caught.value.problems


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_page_shows_each_file_of_the_package(path: Path) -> None:
    assert path.read_text(encoding="utf-8") in {content for _, content in blocks(PAGE)}


def test_each_part_has_less_than_80_lines() -> None:
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 80, path


@pytest.mark.usefixtures("installed")
def test_chunker_and_embedding_name_the_index_by_id_version_and_keys() -> None:
    description = config().description
    assert description["chunking"] == {
        "builder": "my_rag.chunking.sentences",
        "code_version": 1,
        "sentences": 5,
        "max_characters": 1000,
    }
    assert description["embedding"]["builder"] == "my_rag.embedding.ngrams"
    assert "reranker" not in description


@pytest.mark.usefixtures("installed")
def test_keys_are_checked_before_anything_is_read() -> None:
    (line,) = problems("embedding.shortest=5")
    assert all(part in line for part in ("shortest=5", "longest=4"))
    assert problems("chunking.sentences=0") == ("chunking: " + greater_than("chunking.sentences=0", 0),)


@pytest.mark.usefixtures("installed")
def test_semantic_chunking_takes_an_embedding_of_ones_own() -> None:
    assembly = config("chunking=semantic")
    text = "The frame is covered. 차체는 5년입니다. " * 40
    assert all(start < end for start, end in assembly.chunking.spans(text))


def test_tests_of_the_package_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXTENSION / "tests")],
        env={**os.environ, "PYTHONPATH": str(EXTENSION / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def shown_sessions() -> list[tuple[str, str]]:
    """Each command of the page with the output shown below it."""
    return [
        (part.partition("\n")[0], part.partition("\n")[2])
        for language, content in blocks(PAGE)
        if language == "text" and content.startswith("$ ")
        for part in content.removeprefix("$ ").split("\n$ ")
    ]


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[str], str]:
    """Runs a command where the package is copied and installed, without a network."""
    copy, packages = tmp_path / "my-rag", tmp_path / "packages"
    shutil.copytree(EXTENSION, copy)
    flags = "--quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    subprocess.run([sys.executable, "-m", "pip", "install", *flags.split(), "--target", packages, copy], check=True)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(packages),
    }

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_installed_package_ingests_answers_and_measures_as_the_page_shows(shell: Callable[[str], str]) -> None:
    for command, shown in shown_sessions():
        printed = shell(command)
        assert has_shown(lines_of(shown), lines_of(printed)), f"{command} prints\n{printed}"


@pytest.mark.slow
def test_project_file_of_the_page_selects_the_options(shell: Callable[[str], str], tmp_path: Path) -> None:
    (project,) = [content for language, content in blocks(PAGE) if language == "yaml" and "extensions" in content]
    (tmp_path / "ragloom.yaml").write_text(project, encoding="utf-8")
    composed = shell("RAGLOOM_PROJECT=ragloom.yaml ragloom ingest --config-dir my-rag/conf --cfg job")
    assert re.findall(r"_target_: (my_rag\S+)", composed) == [
        "my_rag.chunking.sentences",
        "my_rag.embedding.ngrams",
        "my_rag.reranker.overlap",
    ]


def test_package_is_installed_editable_without_a_further_package(tmp_path: Path) -> None:
    """The page's command builds in this environment, which lacks the package `editables`."""
    shutil.copytree(EXTENSION, tmp_path / "my-rag")
    build = "import hatchling.build as build; print(build.build_editable('..'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / "my-rag", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip()).is_file()
