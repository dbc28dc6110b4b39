"""What is promised of any input: it is read rightly or named with its reason, in bounded time and memory.

Time is bounded over parsing and chunking by the workers that ingestion uses, and by no assertion here: what took
longer would come back as `TaskFailure`.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hostile_files
from chunkers import check_exact
from hostile_files import FILES, LETTER, OPTIONS, Hostile, prepare
from messages import wording
from messages.source import (
    changed_each_time,
    gone_or_broken_link,
    id_used_twice,
    link_loop,
    link_to_itself,
    name_not_unicode,
    name_too_long,
    no_permission,
    not_a_file,
)
from messages.vector_store import no_temporary_room
from ragloom.components.source.base import CannotRead, ListedItem, Source
from ragloom.core.records import Entry, Unreadable
from ragloom.core.sqlite_connections import SCRATCH_SETTINGS
from ragloom.errors import DataError
from ragloom.ingestion.read_stage import ChunkedDocument, Job, Readers
from ragloom.process_pool.pool import ProcessPool
from ragloom.process_pool.results import TaskFailure, TaskResult
from ragloom.process_pool.task_queue import PoolLimits
from source_tools import folder, jsonl

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork: there are no workers")
LARGE = int(os.environ.get("RAGLOOM_HOSTILE_SCALE", "10"))
"""Hundredths of the full size in the tests marked `slow`: `RAGLOOM_HOSTILE_SCALE=100 pytest -m slow` is full size."""
Pool = ProcessPool[tuple[Source, str, Job], Any]


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """One worker, which gives a file half a minute and 1,000 MB."""
    bounds = PoolLimits(processes=1, seconds=30, seconds_per_mb=2, megabytes=1000, items=8, in_flight_mb=64)
    with ProcessPool(hostile_files.read, bounds, initializer=prepare, size=lambda item: item[2].entry.size) as workers:
        yield workers


def reading(pool: Pool, source: Source, entry: Entry, *options: str) -> Iterator[ChunkedDocument | str]:
    """Read an entry with each chunking; a text is why it cannot be read."""
    for outcome in pool.run((source, option, Job(entry)) for option in options or OPTIONS):
        if isinstance(outcome, TaskFailure):
            yield outcome.reason
        else:
            assert isinstance(outcome, TaskResult)
            yield outcome.value if isinstance(outcome.value, ChunkedDocument) else outcome.value.reason


def check_cut(result: ChunkedDocument | str) -> ChunkedDocument:
    assert isinstance(result, ChunkedDocument), result
    chunks = list(result.chunks())
    check_exact(result.text, chunks)
    assert not set(result.text) & set("\r\0\ufffe")
    assert all(len(str(chunk.metadata.get("heading", ""))) <= 2_000 for chunk in chunks)
    result.text.encode("utf-8")
    return result


def listed(source: Source) -> list[ListedItem]:
    return list(source.entries())


def entries(source: Source) -> list[Entry]:
    return [result for result in source.entries() if isinstance(result, Entry)]


def test_there_are_many_hostile_files() -> None:
    assert len(FILES) >= 150
    assert len({hostile.name for hostile in FILES}) == len(FILES)


@pytest.mark.parametrize("hostile", FILES, ids=lambda hostile: hostile.name)
@pytest.mark.slow
def test_hostile_file_is_read_or_named_with_its_reason(hostile: Hostile, pool: Pool, tmp_path: Path) -> None:
    (tmp_path / hostile.name).write_bytes(hostile.content(1))
    source = folder(tmp_path)
    (entry,) = entries(source)
    for result in reading(pool, source, entry):
        if hostile.text is None:
            assert isinstance(result, str), f"it was read: {result.text[:200]!r}"
            assert re.search(hostile.reason, result), result
            assert result.startswith(("it ", "its "))
            assert result.isprintable()
            assert len(result) < 500
        else:
            assert hostile.text in check_cut(result).text


@pytest.mark.slow
@pytest.mark.parametrize("hostile", FILES, ids=lambda hostile: hostile.name)
def test_large_hostile_file_is_read_or_named_with_its_reason(hostile: Hostile, pool: Pool, tmp_path: Path) -> None:
    (tmp_path / hostile.name).write_bytes(hostile.content(LARGE))
    source = folder(tmp_path, max_file_mb=200)
    (entry,) = entries(source)
    for result in reading(pool, source, entry, "fixed", "paragraph", "recursive in tokens"):
        if isinstance(result, str):
            bounded = (
                "it took longer than",
                "it needed more than 1,000 MB",
                "its worker process died (signal 6, SIGABRT",
            )
            assert result.startswith(bounded) or re.search(hostile.reason, result), result
        else:
            assert (hostile.text or "") in result.text
            ends = list(result.spans[1::2])
            assert ends == sorted(ends)
            assert ends[-1] <= len(result.text)


GREEDY = (
    "a long table.docx",
    "many entries.docx",
    "unclosed paragraphs.html",
    "a wide table.html",
    "entities.html",
    "many rows.csv",
    "empty lists.json",
    "a bomb.pdf",
    "a long word.pdf",
    "a thousand times the same page.pdf",
    "a table of many rows.md",
    "a million blanks of all kinds.txt",
    "a hundred MB in one line.txt",
    "UTF-16 without a mark.txt",
)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory")
@pytest.mark.parametrize("megabytes", [6, 18, 50])
@pytest.mark.slow
def test_file_without_enough_memory_is_named_and_never_cut_or_given_another_reason(
    megabytes: int, pool: Pool, tmp_path: Path
) -> None:
    """lxml calls it an error of the document that libxml2 got no memory: such a page was "empty"."""
    for hostile in FILES:
        if hostile.name in GREEDY:
            (tmp_path / hostile.name).write_bytes(hostile.content(5))
    source = folder(tmp_path)
    jobs = [(source, "fixed", Job(entry)) for entry in entries(source)]
    right = [outcome_text(outcome) for outcome in pool.run(jobs)]
    bounds = PoolLimits(processes=1, seconds=60, seconds_per_mb=2, megabytes=megabytes, items=8, in_flight_mb=64)
    with ProcessPool(hostile_files.read, bounds, initializer=prepare) as workers:
        result = [outcome_text(outcome) for outcome in workers.run(jobs)]
    assert len(result) == len(GREEDY)
    refused = (f"it needed more than {megabytes} MB of memory", "its worker process died (signal 6, SIGABRT")
    assert [
        pair for pair in zip(result, right, strict=True) if pair[0] != pair[1] and not pair[0].startswith(refused)
    ] == []
    assert result != right or megabytes > 40


def outcome_text(outcome: TaskResult[Any, Any] | TaskFailure[Any]) -> str:
    if isinstance(outcome, TaskFailure):
        return outcome.reason
    return outcome.value.text if isinstance(outcome.value, ChunkedDocument) else outcome.value.reason


# Names, and what is no file.

NAMES = [
    "with a\nline end.txt",
    "with a\r\ttab.txt",
    "'single' and \"double\" quotes.txt",
    "back\\slash and %percent.txt",
    "-rf ; $(reboot) `id` & | > #.txt",
    unicodedata.normalize("NFC", "한글 문서.txt"),
    unicodedata.normalize("NFD", "한글 문서.txt"),
    "right to left \u202etxt.exe.txt",
    "zero\u200bwidth\u2060.txt",
    "👩\u200d👩\u200d👧 emoji.txt",
    " blanks at both ends .txt",
    "a" * 251 + ".txt",
    "<script>alert(1)<!--.txt",
    "nul-like \x01\x7f\x1b[31m.txt",
    "a....txt.TXT",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_hostile_name_is_read_and_shown_on_one_line(name: str, pool: Pool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LETTER, encoding="utf-8")
    source = folder(tmp_path)
    (entry,) = entries(source)
    assert entry.id == unicodedata.normalize("NFC", name)
    (result,) = reading(pool, source, entry, "fixed")
    assert check_cut(result).document == entry.id
    (tmp_path / name).write_bytes(b"")
    ((_, unreadable),) = Readers(source, hostile_files.built("fixed"), ONE_PROCESS).read([Job(entry)])
    assert isinstance(unreadable, Unreadable)
    assert unreadable.location.isprintable()


ONE_PROCESS = PoolLimits(processes=0, seconds=60, seconds_per_mb=2, megabytes=1000, items=8, in_flight_mb=64)


def test_names_that_are_not_unicode_or_no_files_are_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe folder")).mkdir()
    for name in (b"/\xff.txt", b"/caf\xe9.txt", b"/\xff\xfe folder/inside.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + name)).write_text(LETTER, encoding="utf-8")
    (tmp_path / "directory.txt").mkdir()
    (tmp_path / "directory.txt" / "inside.txt").write_text(LETTER, encoding="utf-8")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    (tmp_path / "to nothing.txt").symlink_to("nothing")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo.txt")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(tmp_path):
        listening.bind("socket.txt")
    result = listed(folder(tmp_path))
    assert [entry.id for entry in result if isinstance(entry, Entry)] == ["directory.txt/inside.txt"]
    reasons = {
        Path(item.location).name: item.reason for item in result if isinstance(item, Unreadable) and item.location
    }
    assert reasons == {
        "\\xff.txt": name_not_unicode(),
        "caf\\xe9.txt": name_not_unicode(),
        "\\xff\\xfe folder": name_not_unicode(),
        "loop.txt": link_to_itself(),
        "to nothing.txt": gone_or_broken_link(),
        "up": link_loop(tmp_path),
        "zero.txt": not_a_file("device"),
        "fifo.txt": not_a_file("FIFO (named pipe)"),
        "socket.txt": not_a_file("socket"),
    }


@pytest.mark.slow
def test_folders_nested_to_the_systems_limit_are_listed_and_what_is_below_is_named(tmp_path: Path) -> None:
    """A recursive walk ended in a RecursionError at 490 levels, and the rest of the corpus with it."""
    levels = 2_100  # of two characters each: over the 4,096 that a path may have
    (tmp_path / "z.txt").write_text(LETTER, encoding="utf-8")
    here = os.open(tmp_path, os.O_RDONLY)
    opened = [here]
    for level in range(levels):
        os.mkdir("d", dir_fd=here)
        here = os.open("d", os.O_RDONLY, dir_fd=here)
        opened.append(here)
        if level in (0, 500, 1_000, 1_500):
            os.close(os.open("x.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    try:
        result = listed(folder(tmp_path))
        ids = [entry.id for entry in result if isinstance(entry, Entry)]
        assert ids == [f"{'d/' * 1_501}x.txt", f"{'d/' * 1_001}x.txt", f"{'d/' * 501}x.txt", "d/x.txt", "z.txt"]
        (deep,) = [item for item in result if isinstance(item, Unreadable)]
        assert deep.reason == name_too_long()
        assert deep.hides
    finally:
        for descriptor in opened[::-1]:
            os.close(descriptor)
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def fifo(path: Path) -> None:
    os.mkfifo(path)


REPLACED: dict[str, tuple[Callable[[Path], Any], str | None]] = {
    "nothing": (lambda path: None, "it no longer exists, or it is a broken link"),
    "a FIFO": (fifo, "it is a FIFO (named pipe), not a file"),
    "a folder": (Path.mkdir, "it is a folder, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "a loop": (lambda path: path.symlink_to(path.name), "it is a symbolic link that leads back to itself"),
    "more": (lambda path: path.write_bytes(b"x" * 2_000_001), "it grew over the limit of 2 MB after it was listed"),
    "what never ends": (lambda path: path.symlink_to("/proc/self/pagemap"), None),
}


@pytest.mark.parametrize("what", REPLACED)
def test_file_replaced_after_it_was_listed_is_named(what: str, pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LETTER, encoding="utf-8")
    source = folder(tmp_path, max_file_mb=2)
    (entry,) = entries(source)
    (tmp_path / "a.txt").unlink()
    replace, reason = REPLACED[what]
    replace(tmp_path / "a.txt")
    (result,) = reading(pool, source, entry, "fixed")
    assert result == reason if reason else isinstance(result, str)


def test_file_without_permission_is_named(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LETTER, encoding="utf-8")
    source = folder(tmp_path)
    (entry,) = entries(source)
    (tmp_path / "a.txt").chmod(0)
    if os.geteuid():
        (result,) = reading(pool, source, entry, "fixed")
        assert result == no_permission()
    else:  # root may read everything: somebody else may not
        assert read_as_nobody(source, entry) == no_permission()


def read_as_nobody(source: Source, entry: Entry) -> str:
    for above in list(Path(entry.location).parents)[:-1]:
        above.chmod(above.stat().st_mode | 0o111)
    os.seteuid(65534)
    try:
        source.read(entry)
    except CannotRead as error:
        return error.reason
    finally:
        os.seteuid(0)
    return "it was read"


def test_file_that_is_written_to_is_read_as_it_was_listed_or_named(pool: Pool, tmp_path: Path) -> None:
    """What a worker sees of it; when it is read is the rule of `test_source_settling`."""
    path = tmp_path / "a.txt"
    path.write_text("a" * 300_000, encoding="utf-8")
    source = folder(tmp_path)
    (entry,) = entries(source)
    (result,) = reading(pool, source, entry, "fixed")
    assert check_cut(result).text == "a" * 300_000
    later = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(later, later))
    (reason,) = reading(pool, source, entry, "fixed")
    assert changed_each_time() in str(reason)


# Lines of JSON.

LINES = {
    "an id without end": ('{"id": "' + "i" * 100_000 + '", "text": "t"}', "its 'id' has 100,000 characters; the limit"),
    "an id of combining marks": (
        '{"id": "a' + "\u0315\u0300" * 50_000 + '", "text": "t"}',
        "its 'id' has 100,001 char",
    ),
    "a hundred thousand fields": ("{" + ",".join(f'"f{n}": 1' for n in range(100_000)) + "}", "has no field 'id'"),
    "a field twice among many": (
        '{"id": "x", "text": "t", ' + ",".join(f'"f{n}": 1' for n in range(100_000)) + ', "f99999": 2}',
        "the field 'f99999' occurs twice",
    ),
    "metadata nested deeply": (
        '{"id": "x", "text": "t", "metadata": ' + '{"a":' * 300 + "1" + "}" * 300 + "}",
        "its metadata is nested more than 100 levels deep",
    ),
    "lists nested deeply": (
        '{"id": "x", "text": "t", "metadata": {"a":' + "[" * 900 + "]" * 900 + "}}",
        "nested too deeply: more than 500 levels",
    ),
    "brackets without end": ('{"id": "x", "text": ' + "[" * 1_000_000, "nested too deeply|over 1,000,000 values"),
    "empty lists without end": (
        '{"id": "x", "text": "t", "metadata": {"a": [' + "[]," * 600_000 + "[]]}}",
        "the line has over 1,000,000 values",
    ),
    "a number without end": ('{"id": "x", "text": "t", "metadata": {"n": ' + "9" * 100_000 + "}}", "not readable JSON"),
    "half of a character": ('{"id": "x", "text": "\\ud800"}', "a lone surrogate"),
    "NULs as an id": ('{"id": "\\u0000", "text": ""}', "its 'id' is a text; it must be a non-blank text"),
}


@pytest.mark.parametrize("name", LINES)
def test_hostile_line_is_named_with_its_reason(name: str, tmp_path: Path) -> None:
    line, reason = LINES[name]
    result = listed(jsonl(tmp_path, f'{{"id": "a", "text": "t"}}\n{line}\n{{"id": "b", "text": "t"}}'))
    assert [type(item) for item in result] == [Entry, Unreadable, Entry]
    assert isinstance(result[1], Unreadable)
    assert re.search(reason, result[1].reason)
    assert len(result[1].reason) < 500
    assert result[1].reason.isprintable()


def test_commas_in_a_text_are_no_values(tmp_path: Path) -> None:
    text = '\\",[{' * 300_000
    (result,) = entries(jsonl(tmp_path, '{"id": "a", "text": "' + text + '"}'))
    assert result.id == "a"


def test_ids_are_remembered_on_disk_and_repetitions_found_among_many(tmp_path: Path) -> None:
    ids = [*range(2_000), 1_999, 3, 2_000, 2_000]
    result = listed(jsonl(tmp_path, "\n".join(f'{{"id": {id}, "text": "t"}}' for id in ids)))
    reasons = [item.reason for item in result if isinstance(item, Unreadable)]
    assert reasons == [id_used_twice(id, line) for id, line in ((1999, 2000), (3, 4), (2000, 2003))]


def test_full_temporary_disk_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCRATCH_SETTINGS, "max_page_count", 3)
    source = jsonl(tmp_path, "\n".join(f'{{"id": {id}, "text": "t"}}' for id in range(2_000)))
    with pytest.raises(DataError, match=wording(no_temporary_room("the ids of the corpus"))):
        listed(source)
