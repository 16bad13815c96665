"""Opens files as text: finds compression and encoding by content, and names the line of bytes that are not text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import shlex
import string
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from understudy.errors import DataError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")
BLOCK = 1 << 16  # bytes
_LONGEST_LINE = 1 << 24
_MAGIC = {
    b"\x1f\x8b\x08": ".gz",
    b"\xfd7zXZ\x00": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"PK\x03\x04": ".zip",
    b"PK\x05\x06": ".zip",  # an archive without files
}
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # what follows the four bytes of the header
# The mark of UTF-32 begins with that of UTF-16, so it is tried first.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NOT_IN_CP1252 = b"\x81\x8d\x8f\x90\x9d"
_LETTERS = frozenset(string.ascii_letters.encode())


@dataclass(frozen=True)
class Text:
    """A file that is open for reading.

    Attributes:
        head: Its first characters.
        is_whole: Whether these are all.
    """

    head: str
    is_whole: bool
    _file: _Utf8

    def lines(self, newline: str) -> io.TextIOWrapper:
        """The file from its start, once.

        Args:
            newline: Ends a line; "" stands for any of the usual ends. Ends are kept as they are.
        """
        return io.TextIOWrapper(cast(IO[bytes], self._file), encoding="utf-8-sig", newline=newline)


def packing(path: Path) -> str | None:
    """The suffix of a file's compression, by its first bytes, else by its name; None without compression."""
    with path.open("rb") as file:
        head = file.read(10)
    found = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)
    if head.startswith(b"BZh") and head[4:] in _BZ2_BLOCKS:
        found = ".bz2"
    suffix = path.suffix.lower()
    return found or (suffix if suffix in COMPRESSIONS else None)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file and decompresses it.

    Raises:
        DataError: It is a zip archive that does not hold exactly one file.
    """
    suffix = packing(path)
    readers: dict[str | None, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with ExitStack() as stack:
        if suffix in readers:
            yield stack.enter_context(readers[suffix](path))
        elif suffix == ".zst":
            import pyarrow

            yield stack.enter_context(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))
        elif suffix == ".zip":
            yield stack.enter_context(_only_member(stack.enter_context(zipfile.ZipFile(path)), path))
        else:
            yield stack.enter_context(path.open("rb"))


@contextmanager
def open_text(path: Path) -> Iterator[Text]:
    """Opens a text file: UTF-8, or UTF-16 or UTF-32 with a byte order mark; also compressed.

    Raises:
        DataError: It holds NUL bytes or is a parquet file.
    """
    with opened(path) as file:
        text = _Utf8(file, path)
        head = codecs.getincrementaldecoder("utf-8-sig")("replace").decode(text.first)
        yield Text(head, text.is_whole, text)


def not_utf8(path: Path) -> DataError:
    """The error for a file that is not UTF-8: it names the first line that is not, and the conversion that suits."""
    first, bad, valid = (0, b""), bytearray(), 0
    wrong_lines = 0
    with opened(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1):
            try:
                valid += not line.isascii() and bool(line.decode())
            except UnicodeDecodeError as error:
                wrong_lines += 1
                first = first if wrong_lines > 1 else (number, line[error.start : error.start + 1])
                bad += line[: max(0, BLOCK - len(bad))]
    found = f"{path} is not UTF-8: line {first[0]} has the byte 0x{first[1].hex()}."
    if valid >= max(wrong_lines, 2):
        return DataError(f"{found} But {valid:,} lines with other than ASCII characters are. Correct line {first[0]}.")
    encoding = _encoding(bytes(bad))
    unpack = "Unpack it, and convert it" if packing(path) else "Convert it"
    how = f"iconv -f {encoding} -t utf-8 {shlex.quote(path.name)} > {shlex.quote(f'utf8-{path.name}')}"
    origin = " from the encoding that it was written in" if encoding == "ENCODING" else ""
    return DataError(f"{found} {unpack}{origin}, for example with: {how}")


def _encoding(content: bytes) -> str:
    """What text that is not UTF-8 is most likely encoded in; `ENCODING` if that cannot be told."""
    high = [byte for byte in content if byte >= 0x80]
    letters = sum(byte in _LETTERS for byte in content)
    is_dense = len(high) > max(8, letters)  # as in Russian or Chinese texts
    if is_dense or any(byte in _NOT_IN_CP1252 for byte in high):
        return "ENCODING"
    return "cp1252" if any(byte < 0xA0 for byte in high) else "latin1"


def _only_member(archive: zipfile.ZipFile, path: Path) -> IO[bytes]:
    names = archive.namelist()
    if "[Content_Types].xml" in names:
        raise DataError(f"{path} is an Office document, such as an Excel workbook. Save the sheet as csv.")
    # macOS adds a folder with metadata.
    members = [name for name in names if not name.endswith("/") and "__MACOSX/" not in name]
    if len(members) != 1:
        raise DataError(f"{path} holds {len(members)} files: expected one. Unpack it and give a glob instead.")
    return archive.open(members[0])


class _Utf8(io.BufferedIOBase):
    """The content of a file as UTF-8.

    Attributes:
        first: Its first bytes.
        is_whole: Whether these are all.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file: Any = file
        self._path = path
        self._lines = 0
        raw = self._file.read(BLOCK)
        if raw.startswith(b"PAR1"):
            raise DataError(f"{path} is a parquet file. Rename it so that its name ends in .parquet.")
        encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
        self._encoding = encoding
        self.is_whole = len(raw) < BLOCK
        self.first = self._pending = self._as_utf8(raw)

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        if self._pending:
            block, self._pending = self._pending, b""
            return block
        while raw := self._file.read1(max(size, BLOCK)):
            if block := self._as_utf8(raw):
                return block
        return self._as_utf8(b"")

    def _as_utf8(self, raw: bytes) -> bytes:
        block = raw
        if self._decoder is not None:
            try:
                block = self._decoder.decode(raw, final=not raw).encode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self._path} is not {str(self._encoding).upper()}, although its first bytes say so "
                    f"({error.reason}, after line {self._lines}). Write the file again."
                ) from None
        if b"\0" in block:
            raise self._nul(block)
        self._lines += block.count(b"\n")
        return block

    def _nul(self, block: bytes) -> DataError:
        at = block.index(b"\0")
        line = self._lines + block.count(b"\n", 0, at) + 1
        name, clean = shlex.quote(self._path.name), shlex.quote(f"utf8-{self._path.name}")
        if block.count(b"\0") * 4 > len(block):  # every second byte of Latin text in UTF-16
            way = f"iconv -f UTF-16{'LE' if at % 2 else 'BE'} -t utf-8 {name} > {clean}"
            return DataError(
                f"{self._path} line {line} holds NUL bytes, as in UTF-16 without a byte order mark. Convert it, for "
                f"example with: {way}"
            )
        return DataError(
            f"{self._path} line {line} holds a NUL byte, which is not text. Remove it, for example with: "
            f"tr -d '\\000' < {name} > {clean}"
        )
