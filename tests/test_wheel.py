"""The wheel works where there is no checkout: it carries conf/ and the sample, and its command runs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel of this checkout, from a copy, so that nothing is written into it."""
    copy = tmp_path_factory.mktemp("checkout") / "ragloom"
    ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", ".ragloom", ".hypothesis")
    shutil.copytree(ROOT, copy, ignore=ignored)
    out = copy / "dist"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(build, capture_output=True, text=True, cwd=copy, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_wheel_carries_every_option_the_sample_and_the_typing_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"ragloom/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in names
    assert "ragloom/py.typed" in names
    for path in (ROOT / "src" / "ragloom" / "components" / "source" / "sample").rglob("*"):
        if path.is_file():
            assert path.relative_to(ROOT / "src").as_posix() in names


@pytest.mark.slow
def test_wheel_installed_into_an_empty_environment_ingests_and_answers(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    probe = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--dest",
        str(tmp_path / "probe"),
        "iniconfig",
    ]
    if subprocess.run([str(environment / "bin" / "python"), *probe], capture_output=True, check=False).returncode:
        pytest.skip("no package registry can be reached: the wheel's dependencies cannot be installed")
    python = environment / "bin" / "python"
    lock = ["-c", str(ROOT / "requirements.lock")]
    installer = [shutil.which("uv"), "pip", "install", "--python", str(python)]
    if installer[0] is None:
        installer = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    subprocess.run([*map(str, installer), "--quiet", *lock, str(wheel)], check=True)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def ragloom(*arguments: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / "ragloom"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=clean,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "documents" in ragloom("ingest")
    answer = json.loads(ragloom("query", "차체의 보증 기간은 얼마인가요?", "--json"))
    assert answer["citations"][0]["verified"]
    assert "sample-" in ragloom("indexes", "list")
