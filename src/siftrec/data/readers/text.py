"""Text files, plain or gzip: one checking pass in blocks, and the slow walk that finds the place of an error."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO, cast

from siftrec.errors import DataError

_BLOCK = 1 << 24
_BEFORE_A_FIELD = {b"", b",", b"\t", b"\n", b"\r", b'"', codecs.BOM_UTF8[-1:]}
_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


@dataclass(frozen=True)
class Scan:
    """What the checking pass saw.

    Attributes:
        bom: a byte-order mark, which is accepted and counted.
        quotes: double quotes.
        doubtful: the last of them stands where one may open a field that is never closed.
        escapes: backslashes.
    """

    bom: bool
    quotes: bool
    doubtful: bool
    escapes: bool

    @property
    def notes(self) -> dict[str, int]:
        """For `Interactions.notes`."""
        return {"byte-order mark": 1} if self.bom else {}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the operating system's and gzip's refusals into one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError("does not exist", str(path)) from None
    except IsADirectoryError:
        raise DataError("is a folder; a file is needed here", str(path)) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError("the gzip stream is damaged or cut off; copy the file again", str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", str(path)) from None


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked when its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def open_text(path: Path) -> TextIO:
    """The file's lines, byte-order mark left out, line ends kept."""
    return io.TextIOWrapper(open_bytes(path), "utf-8-sig", newline="")


def scan(path: Path) -> Scan:
    """Check that a file is UTF-8 text with line ends.

    Raises:
        DataError: empty, UTF-16, not UTF-8, NUL bytes, CR alone as line end, damaged gzip; with line and byte column.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    start, tail = 0, b""
    bom = lf = cr = quotes = doubtful = escapes = False
    with readable(path), open_bytes(path) as file:
        while block := file.read(_BLOCK):
            if start == 0:
                _refuse_utf16(path, block)
                bom = block.startswith(codecs.BOM_UTF8)
            if (nul := block.find(b"\0")) >= 0:
                raise DataError("holds a NUL byte; it is not text", _place(path, start + nul))
            pending = len(decoder.getstate()[0])
            if pending or not block.isascii():
                _decode(decoder, block, path, start - pending)
            if (at := block.rfind(b'"')) >= 0:
                quotes, doubtful = True, (block[at - 1 : at] if at else tail) in _BEFORE_A_FIELD
            escapes = escapes or b"\\" in block
            lf, cr = lf or b"\n" in block, cr or b"\r" in block
            start, tail = start + len(block), block[-1:]
        _decode(decoder, b"", path, start - len(decoder.getstate()[0]), final=True)
    if start <= (3 if bom else 0):
        raise DataError("is empty", str(path))
    if cr and not lf:
        raise DataError("lines end in CR alone; save it with LF or CRLF line ends", f"{path}:1")
    return Scan(bom, quotes, doubtful, escapes)


def _refuse_utf16(path: Path, block: bytes) -> None:
    for mark, name in _MARKS.items():
        if block.startswith(mark):
            raise DataError(f"is {name}; save it as UTF-8", f"{path}:1:1")


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, path: Path, start: int, final: bool = False) -> None:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        problem = f"byte 0x{byte:02x} is not UTF-8 (is the file Latin-1?); save it as UTF-8"
        raise DataError(problem, _place(path, start + error.start)) from None


def _place(path: Path, offset: int) -> str:
    with open_bytes(path) as file:
        before = file.read(offset)
    lines = before.split(b"\n")
    return f"{path}:{len(lines)}:{len(lines[-1]) + 1}"


@dataclass(frozen=True)
class Dialect:
    """How a line is cut into fields: the separator, and whether double quotes protect it."""

    separator: str
    quoted: bool


@dataclass(frozen=True)
class Record:
    """One record: its first line's number and text, and its fields."""

    line: int
    text: str
    fields: list[str]

    def column(self, dialect: Dialect, field: int) -> int:
        """Where a field starts in `text`, counted in characters from 1."""
        at = 0
        for _ in range(min(field, len(self.fields) - 1)):
            if dialect.quoted and self.text[at : at + 1] == '"':
                at += 1
                while (end := self.text.find('"', at)) >= 0 and self.text[end + 1 : end + 2] == '"':
                    at = end + 2
                at = max(end, at)
            found = self.text.find(dialect.separator, at)
            if found < 0:
                break
            at = found + len(dialect.separator)
        return at + 1


def records(path: Path, dialect: Dialect) -> Iterator[Record]:
    """Every record that is not a blank line, slowly.

    Raises:
        DataError: a quote that is never closed, with its line.
    """
    with readable(path), open_text(path) as file:
        if not dialect.quoted:
            for number, line in enumerate(file, start=1):
                if bare := line.rstrip("\r\n"):
                    yield Record(number, bare, bare.split(dialect.separator))
            return
        lines: list[str] = []  # of the record at hand: one bad value must not bring a large file into memory
        reader = csv.reader(_kept(file, lines), delimiter=dialect.separator, strict=True)
        first = 0
        try:
            for fields in reader:
                if fields:
                    yield Record(first + 1, lines[0].rstrip("\r\n"), fields)
                first = reader.line_num
                lines.clear()
        except csv.Error as error:
            raise DataError(f"{error}; is a quote never closed?", f"{path}:{first + 1}") from None


def left_open(line: str, separator: str, inside: bool) -> bool:
    """Whether a quoted field runs over the end of a line that starts `inside` one.

    A quote opens a field only at its start, and after the closing one everything is plain text.
    """
    opening, at = f'{separator}"', 0
    if not inside:
        line = separator + line
    while inside or (found := line.find(opening, at)) >= 0:
        end = line.find('"', at if inside else found + len(opening))
        while end >= 0 and line[end + 1 : end + 2] == '"':
            end = line.find('"', end + 2)
        if end < 0:
            return True
        inside, at = False, end + 1
    return False


def refuse_open(path: Path, dialect: Dialect) -> None:
    """Walk a quoted file to its end.

    Raises:
        DataError: a quote that opens a field is never closed, with the line of its record.
    """
    inside, first = False, 0
    with readable(path), open_text(path) as file:
        for number, line in enumerate(file, start=1):
            first = first if inside else number
            inside = left_open(line, dialect.separator, inside)
    if inside:
        raise DataError("a double quote is never closed", f"{path}:{first}")


def _kept(file: Iterable[str], lines: list[str]) -> Iterator[str]:
    for line in file:
        lines.append(line)
        yield line


@dataclass(frozen=True)
class Place:
    """Finds `file:line:column` of a field by walking the file again; only called when something is wrong.

    Attributes:
        path: the file.
        dialect: of the file.
        fields: name → number of its field.
        header: True when the first record names the columns.
    """

    path: Path
    dialect: Dialect
    fields: dict[str, int]
    header: bool

    def __call__(self, row: int, name: str) -> str:
        for number, record in enumerate(records(self.path, self.dialect)):
            if number == row + self.header:
                return f"{self.path}:{record.line}:{record.column(self.dialect, self.fields.get(name, 0))}"
        return str(self.path)
