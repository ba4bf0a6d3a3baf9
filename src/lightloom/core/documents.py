"""Read text, JSON, YAML and XML of foreign origin: bounded in size, depth and aliases; any fault is one UserError."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lightloom.core.errors import UserError
from lightloom.core.limits import MOST_BYTES, check_bytes, check_plain, limit, reading

MOST_YAML = 500_000  # bytes; its reader is slow
MOST_CONFIG = 10_000_000  # bytes, of a run's own config.yaml, in which the names of many classes may stand
MOST_XML = 50_000_000  # bytes
WIDE_ENCODINGS = ("gbk", "gb2312", "gb18030", "big5", "shift-jis", "euc-jp", "euc-kr", "cp936", "cp949")
MOST_DEPTH = 100  # of nested parts, in any of them
MOST_NODES = 200_000  # of a YAML file, what an alias stands for counted each time


def read_text(
    path: Path,
    most: int | None = None,
    encoding: str = "utf-8",
    remedy: str = "save it as UTF-8",
    escaped: bool = False,
) -> str:
    """A file's text, of UTF-8 with or without the mark that some editors put in front; of .gz what is packed in it.

    most: bytes. escaped: bytes that are no text are kept as lone surrogates, for `check_line`, where the encoding can.
    """
    errors = "surrogateescape" if escaped else "strict"
    check_bytes(path, most)
    own = re.sub("(?i)^utf-?8$", "utf-8-sig", encoding)
    try:
        if path.suffix == ".gz":
            with io.TextIOWrapper(io.BytesIO(unpacked(path)), own, errors) as file:
                return file.read()
        with reading(path):
            return path.read_text(encoding=own, errors=errors)
    except LookupError as error:
        raise UserError(f"{path}: {error}; {remedy}") from error
    except UnicodeError as error:
        where = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(f"{path}: is no text in {encoding.upper()} ({reason}{where}); {remedy}") from error


def check_line(text: str, where: str, encoding: str = "utf-8", remedy: str = "save it as UTF-8") -> str:
    """A line, or a row, of what was read with `escaped`; UserError where it has bytes that are no text, or a NUL."""
    if strange := re.search(r"[\0\udc80-\udcff]", text):
        raise UserError(f"{where}: is no text in {encoding.upper()} (at character {strange.start()}); {remedy}")
    return text


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """A file's content, of at most so many bytes."""
    check_bytes(path, most)
    with reading(path):
        return path.read_bytes()


def unpacked(path: Path, remedy: str = "Pack it again") -> bytes:
    """A gzip file's content, within the limit of bytes: a small file can hold any number of them."""
    most = limit(MOST_BYTES)
    check_plain(path)
    try:
        with gzip.open(path) as file:
            content = file.read(most + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}). {remedy}") from error
    if len(content) > most:
        raise UserError(f"{path}: holds more than {most:,} bytes; set the environment variable {MOST_BYTES} to more")
    return content


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return parse_json(read_text(path), path)


def parse_json(text: str, source: Path | str) -> Any:
    """What a JSON text holds. source: where it stands, for the message."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{source}: is no whole JSON ({error}); write it again") from error
    except RecursionError:
        raise UserError(f"{source}: is nested too deep to be read; expected {MOST_DEPTH} levels at most") from None


def read_yaml(path: Path, most: int = MOST_YAML) -> Any:
    """The content of a YAML file, of plain values. most: bytes."""
    import yaml

    text = read_text(path, most)
    try:
        return yaml.load(text, Loader=_bounded(yaml))  # it is a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is no YAML ({' '.join(str(error).split())[:300]})") from error
    except Exception as error:  # its constructors raise what they please: KeyError, AttributeError, ValueError
        said = f"{type(error).__name__}: {error}" if not isinstance(error, RecursionError) else "it is nested too deep"
        raise UserError(f"{path}: is no YAML ({said[:300]})") from error


def _bounded(yaml: Any) -> Any:
    """A SafeLoader that refuses what is deep, or grows large by aliases of aliases."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Counts levels and values while a text is composed. sizes: of each node, by which an alias of it counts."""

        depth, count = 0, 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            """A node and all below it; yaml.YAMLError beyond MOST_DEPTH levels or MOST_NODES values."""
            is_alias, before = self.check_event(yaml.AliasEvent), self.count
            self.depth, self.count = self.depth + 1, self.count + 1
            if self.depth > MOST_DEPTH:
                raise yaml.YAMLError(f"nested more than {MOST_DEPTH} levels deep")
            node = super().compose_node(parent, index)
            self.depth -= 1
            if is_alias:
                self.count += self.sizes.get(id(node), MOST_NODES)  # one that is not composed yet holds itself
            if self.count > MOST_NODES:
                raise yaml.YAMLError(f"more than {MOST_NODES:,} values, aliases counted each time")
            self.sizes.setdefault(id(node), self.count - before)
            return node

        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            self.sizes: dict[int, int] = {}

    return Loader


def _in_utf8(content: bytes, path: Path) -> bytes:
    """XML in an encoding of several bytes a letter, which its parser does not know, as UTF-8; others as they are."""
    declared = re.match(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["'][^>]*\?>""", content)
    encoding = declared[1].decode("ascii") if declared else "utf-8"
    is_wide = encoding.lower().replace("_", "-") in WIDE_ENCODINGS
    if not is_wide and (declared or content[:2] in (b"\xff\xfe", b"\xfe\xff")):
        return content
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        said = "as its first line says" if declared else 'and its first line names no other encoding="..."'
        raise UserError(
            f"{path}: is no text in {encoding.upper()}, {said} ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    return text[declared.end() :].encode() if declared and is_wide else content


def read_xml(path: Path) -> ElementTree.Element | None:
    """The root of an XML file, or None where it is empty."""
    content = _in_utf8(read_bytes(path, MOST_XML), path)
    if not content.strip():
        return None
    depth, root = 0, None
    try:
        for event, node in ElementTree.iterparse(io.BytesIO(content), ("start", "end")):
            root = node if root is None else root
            depth += 1 if event == "start" else -1
            if depth > MOST_DEPTH:
                raise UserError(f"{path}: is nested too deep to be read; expected {MOST_DEPTH} levels at most")
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # an encoding that nobody knows is a LookupError
        raise UserError(f"{path}: is no whole XML ({error}); write it again or delete it") from error
    return root
