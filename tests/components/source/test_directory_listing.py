"""What listing a folder promises: order, ids, patterns, and that nothing stops it."""

import os
import socket
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import wording
from messages.source import (
    excluded,
    gone_or_broken_link,
    grew_over,
    link_loop,
    link_to_itself,
    name_not_unicode,
    no_permission,
    not_a_file,
    read_by_jsonl_only,
    too_large_file,
)
from ragloom.components.source.base import CannotRead, ListedItem
from ragloom.components.source.directory_listing import matches_any
from ragloom.core.records import Entry, Skipped, Unreadable
from ragloom.errors import DataError
from source_tools import folder


def tree(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")


def ids(listed: list[ListedItem]) -> list[str]:
    return [e.id for e in listed if isinstance(e, Entry)]


def reasons(listed: list[ListedItem], kind: type) -> dict[str, str]:
    return {Path(e.location).name: e.reason for e in listed if isinstance(e, kind) and not isinstance(e, Entry)}


def test_listing_is_ordered_by_id_also_between_files_and_folders(tmp_path: Path) -> None:
    names = ["a/x.txt", "a.txt", "a-b.txt", "a/b/c.txt", "Z.txt", "가.txt", "a0.txt"]
    tree(tmp_path, *names)
    assert ids(list(folder(tmp_path).entries())) == sorted(names)


def test_listing_is_lazy(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b/c.txt")
    listed = folder(tmp_path).entries()
    assert next(listed) == Entry("a.txt", str(tmp_path / "a.txt"), 5, (tmp_path / "a.txt").stat().st_mtime_ns)
    tree(tmp_path, "b/d.txt")
    assert ids(list(listed)) == ["b/c.txt", "b/d.txt"]


def test_listing_ids_are_nfc_and_the_file_is_still_found(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "한글/é.txt")
    tree(tmp_path, name)
    corpus = folder(tmp_path)
    entry = next(iter(corpus.entries()))
    assert isinstance(entry, Entry)
    assert entry.id == unicodedata.normalize("NFC", name) != name
    assert corpus.parse(entry, corpus.read(entry)).text == name


@pytest.mark.parametrize("place", ["é.txt", "é/same.txt", "é/é.txt"])
def test_listing_reports_all_names_that_collide_in_nfc_and_only_those(place: str, tmp_path: Path) -> None:
    composed, cut = unicodedata.normalize("NFC", place), unicodedata.normalize("NFD", place)
    tree(tmp_path, composed, cut, "é/only here.txt")
    listed = list(folder(tmp_path).entries())
    assert ids(listed) == ["é/only here.txt"]
    collided = [e for e in listed if isinstance(e, Unreadable)]
    assert {e.location for e in collided} == {str(tmp_path / composed), str(tmp_path / cut)}
    assert all("same id" in e.reason for e in collided)


def test_listing_reports_names_that_are_not_unicode_printably(tmp_path: Path) -> None:
    tree(tmp_path, "good.txt")
    for name in (b"caf\xe9.txt", b"ordner\xe4"):
        path = os.fsencode(tmp_path) + b"/" + name
        try:
            if name.endswith(b".txt"):
                Path(os.fsdecode(path)).write_bytes(b"x")
            else:
                Path(os.fsdecode(path)).mkdir()
                Path(os.fsdecode(path + b"/inside.txt")).write_bytes(b"x")
        except OSError:
            pytest.skip("this file system takes Unicode names only")
    listed = list(folder(tmp_path).entries())
    assert ids(listed) == ["good.txt"]
    reported = reasons(listed, Unreadable)
    assert reported == {
        "caf\\xe9.txt": name_not_unicode(),
        "ordner\\xe4": name_not_unicode(),
    }


def test_listing_skips_and_counts_hidden_large_and_unknown_files(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", ".b.txt", ".git/c.txt", "d.xlsx", "e", "~$f.docx", "h.jsonl", "I.TXT")
    (tmp_path / "g.txt").write_bytes(b"x" * 1_000_001)
    listed = list(folder(tmp_path, max_file_mb=1).entries())
    assert ids(listed) == ["I.TXT", "a.txt"]
    assert reasons(listed, Skipped) == {
        ".b.txt": "hidden",
        ".git": "hidden",
        "d.xlsx": "no reader for .xlsx",
        "e": "no reader for names without a suffix",
        "~$f.docx": "a lock file of an office program",
        "h.jsonl": read_by_jsonl_only(),
        "g.txt": too_large_file(1.0, 1),
    }


def test_listing_obeys_include_and_exclude(tmp_path: Path) -> None:
    tree(tmp_path, "a.md", "a.txt", "drafts/a.md", "drafts/deep/a.md", "x/drafts/a.md", "x/old.md", "x/y/é.md")
    listed = list(folder(tmp_path, include=["**/*.md"], exclude=["drafts/**", "**/old*"]).entries())
    assert ids(listed) == ["a.md", "x/drafts/a.md", "x/y/é.md"]
    assert reasons(listed, Skipped) == {
        "a.txt": "not included by source.include",
        "drafts": excluded(),
        "old.md": excluded(),
    }
    assert ids(list(folder(tmp_path, include=["x/*/*", "a.?d"]).entries())) == ["a.md", "x/drafts/a.md", "x/y/é.md"]


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.md", ["a.md", ".md"], ["x/a.md", "a.mdx"]),
        ("**/*.md", ["a.md", "x/a.md", "x/y/a.md"], ["a.txt"]),
        ("x/**", ["x/a", "x/y/a"], ["y/x/a", "xx/a"]),
        ("x/**/a", ["x/a", "x/y/a", "x/y/z/a"], ["x/ya", "a"]),
        ("[a-c]?.t*", ["a1.txt"], ["d1.txt", "a/.txt", "a.txt"]),
        ("[!a].md", ["b.md"], ["a.md", "/.md"]),
        ("a[b.md", ["a[b.md"], ["ab.md"]),
        ("**", ["a", "x/y"], []),
        ("[]x]", ["]", "x"], ["[]x]"]),
        ("[!!]", ["a", "^"], ["!"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[z-a]", ["[z-a]"], ["z"]),
        ("[한-훿].md", ["훈.md"], ["a.md"]),
        ("(1+2)$^.md", ["(1+2)$^.md"], ["12.md"]),
    ],
)
def test_pattern_matches_the_whole_relative_path(glob: str, yes: list[str], no: list[str]) -> None:
    assert [p for p in yes if not matches_any(p, [glob])] == []
    assert [p for p in no if matches_any(p, [glob])] == []


@given(st.text(st.sampled_from("ab*?[]!-^\\/.한{"), min_size=1, max_size=12), st.text(max_size=8))
def test_pattern_of_any_text_is_translated(glob: str, path: str) -> None:
    assert matches_any(path, [glob]) in (True, False)


def test_listing_ends_where_links_loop_and_says_so(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/c.txt")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    listed = list(folder(tmp_path).entries())
    assert ids(listed) == ["a/b/c.txt"]
    reported = reasons(listed, Unreadable)
    assert reported["up"] == link_loop(tmp_path / "a")
    assert reported["self.txt"] == link_to_itself()
    assert reported["gone.txt"] == gone_or_broken_link()


def test_listing_of_folders_that_all_link_to_each_other_stays_small(tmp_path: Path) -> None:
    for a in range(12):
        tree(tmp_path, f"{a}/file.txt")
        for b in range(12):
            (tmp_path / f"{a}/to{b}").symlink_to(tmp_path / str(b))
    listed = list(folder(tmp_path).entries())
    assert len(ids(listed)) <= 24  # each folder by its own name, and once by a link
    assert len(listed) < 12 * 12 * 3
    assert listed == list(folder(tmp_path).entries())


def test_listing_follows_links_to_files_and_folders_outside(tmp_path: Path) -> None:
    tree(tmp_path, "outside/x.txt", "outside/deep/y.txt", "root/a.txt")
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    (tmp_path / "root/y.txt").symlink_to(tmp_path / "outside/deep/y.txt")
    assert ids(list(folder(tmp_path / "root").entries())) == ["a.txt", "link/deep/y.txt", "link/x.txt", "y.txt"]


def test_listing_reports_what_is_no_file_and_reading_it_never_hangs(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b.txt")
    os.mkfifo(tmp_path / "fifo.txt")
    (tmp_path / "device.txt").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(tmp_path)  # a socket's path is limited to 107 bytes
        listening.bind("socket.txt")
        os.chdir(here)
        listed = list(folder(tmp_path).entries())
    assert ids(listed) == ["a.txt", "b.txt"]
    assert reasons(listed, Unreadable) == {
        "fifo.txt": not_a_file("FIFO (named pipe)"),
        "device.txt": not_a_file("device"),
        "socket.txt": not_a_file("socket"),
    }
    corpus = folder(tmp_path)
    (tmp_path / "b.txt").unlink()
    os.mkfifo(tmp_path / "b.txt")
    entry = next(e for e in listed if isinstance(e, Entry) and e.id == "b.txt")
    with pytest.raises(CannotRead, match="FIFO"):
        corpus.read(entry)


def test_read_says_what_became_of_a_file_after_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.txt", "b.txt", "c.txt")
    corpus = folder(tmp_path, max_file_mb=0.001)
    gone, grown, closed = (e for e in corpus.entries() if isinstance(e, Entry))
    (tmp_path / "a.txt").unlink()
    (tmp_path / "b.txt").write_bytes(b"x" * 1001)
    with pytest.raises(CannotRead, match=wording(gone_or_broken_link())):
        corpus.read(gone)
    with pytest.raises(CannotRead, match=wording(grew_over(0.001))):
        corpus.read(grown)

    def refuse(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # the tests may run as root, to whom nothing is forbidden
    with pytest.raises(CannotRead, match=wording(no_permission())):
        corpus.read(closed)


def test_listing_reports_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.txt", "closed/b.txt", "d.txt")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listed = list(folder(tmp_path).entries())
    assert ids(listed) == ["a.txt", "d.txt"]
    unreadable = [e for e in listed if isinstance(e, Unreadable)]
    assert unreadable == [Unreadable(f"{tmp_path / 'closed'}/", no_permission("this folder"), hides=True)]
    with pytest.raises(DataError, match=wording("closed", no_permission())):
        list(folder(tmp_path / "closed").entries())
