"""Parts of an Office file (ECMA-376 Part 2), unpacked within limits."""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from lxml import etree

from ragloom.components.source.base import CannotRead

MAX_XML_BYTES = 100_000_000
"""Unpacked XML of one document; a 10 MB file can unpack to 10 GB (a zip bomb)."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError, struct.error)
"""Errors of `zipfile` for truncated archives; for some it seeks to a negative position (ValueError)."""
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression types of the Open Packaging Conventions."""
_DOCTYPE = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
"""A declaration of entities, able to include files and to grow to any size; ECMA-376 forbids it."""
_DECLARES = "it is a damaged DOCX: its XML has a document type declaration, not allowed in DOCX"


class UnpackBudget:
    """Unpacked size and embedding depth left to a document."""

    def __init__(self) -> None:
        self.left = MAX_XML_BYTES
        self.depth = 0

    def take(self, size: int) -> None:
        """Take bytes.

        Raises:
            CannotRead: the limit is exceeded.
        """
        self.left -= size
        if self.left < 0:
            raise CannotRead(f"it unpacks to over {MAX_XML_BYTES // 1_000_000} MB of XML (a zip bomb?)")


@contextmanager
def explain_damage() -> Iterator[None]:
    """Translate errors of damaged, encrypted and hostile archives into reasons."""
    try:
        yield
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None  # lxml 6.1 reports it as an error of the document
        if "depth" in error.msg:
            raise CannotRead(
                "its XML is nested more than 2,048 levels deep, the limit of the parser (libxml2)"
            ) from None
        raise CannotRead(f"it is a damaged DOCX: its XML is wrong ({error.msg})") from None
    except NotImplementedError as error:
        raise CannotRead(f"its ZIP compression is not supported: {error}") from None
    except RuntimeError:  # raised by zipfile for an encrypted member
        raise CannotRead("it is encrypted and needs a password") from None
    except _DAMAGE as error:
        detail = error.args[0] if error.args else "it ends too early"
        raise CannotRead(f"it is a damaged DOCX: its ZIP archive is wrong ({detail})") from None


@dataclass(frozen=True, slots=True)
class Relationship:
    """A part referenced by another part.

    Attributes:
        kind: last word of the relation's type, such as `footnotes`.
        target: name of the part in the archive; an address if external.
    """

    kind: str
    target: str
    external: bool


class Package:
    """An Office file and its main part's relations."""

    def __init__(self, content: bytes, budget: UnpackBudget) -> None:
        self.budget = budget
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        self.names = frozenset(self._zip.namelist())
        kinds = self._relations("").values()
        self.main = next((r.target for r in kinds if r.kind == "officeDocument"), "word/document.xml")
        self.relations = self._relations(self.main)

    def related_part(self, kind: str) -> Any | None:
        """Parse the main document's part of a kind; None if absent."""
        target = next((r.target for r in self.relations.values() if r.kind == kind and not r.external), None)
        return self.xml(target) if target in self.names else None

    def xml(self, part: str | None) -> Any:
        """Parse a part."""
        content = self.read(part or "")
        if _DOCTYPE.match(content):
            raise CannotRead(_DECLARES)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        root = etree.fromstring(content, parser)
        if root.getroottree().docinfo.internalDTD is not None:  # in another encoding than UTF-8
            raise CannotRead(_DECLARES)
        return root

    def read(self, part: str) -> bytes:
        """Unpack a part."""
        if self._zip.getinfo(part).compress_type not in _PACKED:
            # zipfile ignores the size limit of `read` for other types (CPython 3.11).
            raise CannotRead("it is a damaged DOCX: its ZIP compression is not allowed in DOCX")
        with self._zip.open(part) as packed:
            content = packed.read(max(0, self.budget.left) + 1)
        self.budget.take(len(content))
        return content

    def _relations(self, part: str) -> dict[str, Relationship]:
        """Read the relationships of a part by id.

        Without a name, those of the archive itself.
        """
        folder, _, name = part.rpartition("/")
        place = f"{folder}/_rels/{name}.rels".lstrip("/")
        if place not in self.names:
            return {}
        relations: dict[str, Relationship] = {}
        for element in self.xml(place):
            target, external = element.get("Target", ""), element.get("TargetMode") == "External"
            if not external:
                target = posixpath.normpath(posixpath.join("/", folder, unquote(target))).lstrip("/")
            kind = element.get("Type", "").rpartition("/")[2]
            relations[element.get("Id", f"#{len(relations)}")] = Relationship(kind, target, external)
        return relations
