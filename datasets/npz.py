"""NumPy files without pickles: the arrays of a .npz archive, each read when it is asked for, or of a .npy file.

The format is that of `numpy.lib.format`. What a file declares is checked against the bytes that are there.
"""

from __future__ import annotations

import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harkd.errors import DataError

_MAGIC = b"\x93NUMPY"
_KEYS = {"descr", "fortran_order", "shape"}
_ENTRY = re.compile(r"\s*'(\w+)'\s*:\s*('[^']*'|True|False|\([\d, ]*\))\s*(?:,|(?=\}))")
_PLAIN = re.compile(r"[<>|=]?([?biufcSU][1-9]\d{0,5}|\?)")
_LONGEST_HEADER = 10_000
_COMPRESSION = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA}
# What an array may take in memory: this many bytes, and this many times what it takes in the file.
_ALLOWED, _GROWTH = 2**24, 100
_CHUNK = 2**20  # bytes read at once


class NoSuchArray(DataError, KeyError):
    """The file holds no array of this name."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotes


class Npz(Mapping[str, NDArray[Any]]):
    """The arrays of a file by name. Nothing is kept: every `npz[name]` reads that array, and no other, from the file."""

    def __init__(self, path: Path, members: dict[str, zipfile.ZipInfo | None]) -> None:
        self.path = path
        self._members = members

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._members:
            raise NoSuchArray(f"{self.path}: no array {name!r}; it holds {', '.join(self._members) or 'none'}")
        member = self._members[name]
        try:
            if member is None:
                with self.path.open("rb") as file:
                    return _read(file, self.path.stat().st_size)
            if member.file_size > _ALLOWED + _GROWTH * min(member.compress_size, self.path.stat().st_size):
                raise _Wrong(
                    f"{member.file_size} bytes, more than {_ALLOWED >> 20} MiB and {_GROWTH} times what they are compressed to."
                    " The file is damaged or made to harm; if you trust it, save it again with numpy.savez"
                )
            if member.compress_type == zipfile.ZIP_LZMA:
                with self.path.open("rb") as file:
                    return _read(_Lzma(file, member), member.file_size)
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                return _read(file, member.file_size)
        except _Wrong as problem:
            raise DataError(f"{self.path}: array {name!r}: {problem}") from None
        except Exception as problem:  # what a damaged zip file can raise is not documented
            raise _damaged(self.path, problem, f"array {name!r}: ") from None

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def read_npz(path: Path) -> Npz:
    """The arrays of a .npz file by name; a .npy file has one, under the name of the file without its suffix.

    Arrays are their own, writable, in the machine's byte order and in the memory order that they were saved in.

    Raises:
        DataError: here, or when an array is read: the file is damaged or no NumPy file, holds something else than arrays
            or is compressed in a way that NumPy does not write; an array is pickled, structured, of a time type, or grows
            to more than 16 MiB and 100 times its compressed size.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                return Npz(path, {path.stem: None})
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as problem:
        raise _damaged(path, problem) from None
    found: dict[str, zipfile.ZipInfo | None] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        parts = PurePosixPath(name).parts
        if name == member.filename or name in found or not parts or ".." in parts or parts[0] == "/" or "\\" in name:
            twice = " twice" if name in found else ""
            raise DataError(f"{path}: holds {member.filename!r}{twice}, expected arrays of different names (NAME.npy) only")
        if member.flag_bits & 1 or member.compress_type not in _COMPRESSION:
            how = "encrypted" if member.flag_bits & 1 else f"compressed by method {member.compress_type}"
            raise DataError(f"{path}: array {name!r} is {how}, expected stored, deflated or LZMA. Save it again with numpy.savez")
        found[name] = member
    return Npz(path, found)


class _Wrong(Exception):
    """What is wrong with an array."""


class _Readable(Protocol):
    def read(self, n: int, /) -> bytes: ...


class _Lzma:
    """An LZMA member of a zip file (APPNOTE 5.8), decompressed no further than it is read.

    zipfile decompresses any bytes whole, up to 7000 times as many, with a dictionary as large as the member says.
    """

    def __init__(self, file: IO[bytes], member: zipfile.ZipInfo) -> None:
        self.file, self.member, self.crc = file, member, 0
        try:
            file.seek(member.header_offset)
            mark, name, extra = struct.unpack("<4s22xHH", file.read(30))
            file.seek(name + extra, 1)
            _, length, packing, dictionary = struct.unpack("<HHBI", file.read(9))
        except (OSError, struct.error):
            mark, length = b"", 0
        if mark != b"PK\3\4" or length != 5:
            raise _Wrong("does not begin where the directory of the file says. The file is damaged: fetch it again")
        rule: dict[str, int] = {"id": lzma.FILTER_LZMA1, "lc": packing % 9, "lp": packing // 9 % 5, "pb": packing // 45}
        self.decoder = lzma.LZMADecompressor(
            lzma.FORMAT_RAW, filters=[{**rule, "dict_size": max(4096, min(dictionary, member.file_size))}]
        )
        self.packed, self.left = member.compress_size - 9, member.file_size

    def read(self, n: int, /) -> bytes:
        """Up to `n` bytes; none at the end."""
        part, n = b"", min(n, self.left)
        while not part and n and not self.decoder.eof:
            more = self.file.read(max(min(_CHUNK, self.packed), 0)) if self.decoder.needs_input else b""
            self.packed -= len(more)
            part = self.decoder.decompress(more, n)
            if not part and not more:
                break
        self.crc, self.left = zlib.crc32(part, self.crc), self.left - len(part)
        if n and not self.left and self.crc != self.member.CRC:
            raise zipfile.BadZipFile("Bad CRC-32")
        return part


def _damaged(path: Path, problem: Exception, what: str = "") -> DataError:
    if isinstance(problem, OSError) and problem.strerror:
        return DataError(f"{path}: {what}cannot be read ({problem.strerror})")
    reason = str(problem) or type(problem).__name__
    return DataError(f"{path}: {what}damaged, or no NumPy file ({reason}). Fetch it again")


def _read(file: _Readable, size: int) -> NDArray[Any]:
    """The array in a .npy file of `size` bytes."""
    dtype, shape, fortran, length = _header(file)
    declared = math.prod(shape) * dtype.itemsize
    if declared != size - length:
        raise _Wrong(
            f"its header declares {dtype} of shape {shape}, {declared} bytes, and {max(size - length, 0)} follow it."
            " The file is damaged: fetch it again"
        )
    array = np.empty(math.prod(shape), dtype)
    view = memoryview(array.view(np.uint8).data if array.size else b"")
    at = 0
    while at < declared:
        part = file.read(min(_CHUNK, declared - at))
        if not part:
            raise _Wrong(f"its data ends after {at} of {declared} bytes. The file is damaged: fetch it again")
        view[at : at + len(part)] = part
        at += len(part)
    native = array.astype(dtype.newbyteorder("="), copy=False)
    if native.size and _impossible(native):
        raise _Wrong(f"holds what are no values of type {native.dtype}. The file is damaged: fetch it again")
    return native.reshape(shape, order="F" if fortran else "C")


def _header(file: _Readable) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, order and the length of all that stands before the data."""
    magic = file.read(8)
    width = {b"\1\0": 2, b"\2\0": 4}.get(magic[6:], 0)
    if magic[:6] != _MAGIC or not width:
        raise _Wrong(f"begins with {magic!r}, expected {_MAGIC!r} and version 1.0 or 2.0")
    length = int.from_bytes(file.read(width), "little")
    if length > _LONGEST_HEADER:
        raise _Wrong(f"a header of {length} bytes, expected at most {_LONGEST_HEADER}: structured values, or damaged")
    text = file.read(length).decode("latin-1")
    entries = _ENTRY.findall(text)
    header = dict(entries)
    if len(entries) != 3 or header.keys() != _KEYS or not re.fullmatch(r"\s*\{\s*\}\s*", _ENTRY.sub("", text)):
        raise _Wrong(f"the header {text.strip()[:100]!r}, expected the type of plain values, the order and the shape")
    descr, shape = header["descr"].strip("'"), header["shape"].strip("()")
    if descr.lstrip("|") == "O":
        raise _Wrong("holds pickled objects, which could run code; save it as an array of numbers or texts")
    if not _PLAIN.fullmatch(descr):
        raise _Wrong(f"values of type {descr!r}, expected numbers, booleans or texts")
    lengths = [int(n) for n in shape.replace(" ", "").split(",") if n]
    if len(lengths) > 32 or math.prod(filter(None, lengths)) > 2**48 or header["fortran_order"] not in ("True", "False"):
        raise _Wrong(f"the header {text.strip()[:100]!r}, whose shape or order makes no sense")
    return np.dtype(descr), tuple(lengths), header["fortran_order"] == "True", 8 + width + length


def _impossible(array: NDArray[Any]) -> bool:
    """Whether booleans are more than 0 and 1, or texts hold codes of no character."""
    if array.dtype.kind == "b":
        return bool(array.view(np.uint8).max() > 1)
    codes = array.view(np.uint32) if array.dtype.kind == "U" else np.zeros(0, np.uint32)
    return bool(np.any((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))))
