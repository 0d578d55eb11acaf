"""MATLAB files of level 5 (`save -v6`, `save -v7`), read several times faster than by `scipy.io.loadmat`.

Follows "MAT-File Format", MathWorks, chapter 1. Every declared size is checked against the data that holds it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harkd.errors import DataError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_REFUSED = {3: "an object", 5: "a sparse matrix", 16: "a function handle", 17: "an object"}
_LOGICAL, _COMPLEX = 0x0200, 0x0800
_DEPTH = 32
# What a file may become in memory: this many bytes, and this many times its own size. zlib reaches 1000 times.
_ALLOWED, _GROWTH = 2**24, 100
_PIECE = 2**16  # bytes that are decompressed at once
_OVERHEAD = 256  # more than what an array or a text takes beside its values
_AGAIN = "In MATLAB, load it and save it again with save -v7"


def read_mat(path: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """The variables of a MATLAB file by name: all, or those in `names`; the others are then not looked into.

    Numeric and logical arrays have the shape of `scipy.io.loadmat` (two dimensions or more) and the type they have in
    MATLAB: a double stays float64 where loadmat, without `mat_dtype=True`, gives the type it was packed into. Text is a
    str, several rows of text a list of them without the spaces that pad them. A cell array with at most one dimension
    longer than 1 is a list (a list of str if it holds texts), others are object arrays. A struct is a dict, a row or
    column of structs a list of dicts.

    Raises:
        DataError: the file cannot be read, is of another version or damaged, grows beyond 16 MiB and 100 times its size,
            lacks a variable of `names`, or a variable holds what is none of the above (a sparse matrix, an object, a
            function handle).
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror or problem})") from None
    order = _byte_order(path, data)
    budget = [_ALLOWED + _GROWTH * len(data)]
    found: dict[str, Any] = {}
    known = []
    at = _HEADER
    while at < len(data):
        top = _Element(path, data, order, budget)
        kind, start, end, at = top.tag(at, len(data))
        if kind == _COMPRESSED:
            at = end  # the one element that is not padded
            top, start, end = _inflated(top, start, end, names)
        elif kind != _MATRIX:
            raise top.wrong(start - 8, f"data of type {kind}, expected a variable (14 or 15)")
        name = top.name(start, end)
        if not name:  # what objects and function handles keep beside the variables
            continue
        if name in known:
            raise top.wrong(start, f"a second variable {name!r}")
        known.append(name)
        if not names or name in names:
            top.variable = name
            found[name] = top.matrix(start, end, 0)
    if missing := [name for name in names if name not in found]:
        raise DataError(f"{path}: no variable {missing[0]!r}; it holds {', '.join(known) or 'none'}")
    return found


def _byte_order(path: Path, data: bytes) -> str:
    if data[:4] == b"\x89HDF" or data[512:516] == b"\x89HDF":
        raise DataError(f"{path}: a MATLAB file of version 7.3 (HDF5), expected version 5 to 7. {_AGAIN}")
    mark = data[126:128]
    if mark not in (b"IM", b"MI") or b"\0" in data[:4]:
        old = "perhaps of version 4" if b"\0" in data[:4] else "damaged or none at all"
        raise DataError(f"{path}: not a MATLAB file of version 5 to 7, {old}: bytes 126 and 127 are {mark!r}, not IM. {_AGAIN}")
    return "<" if mark == b"IM" else ">"


class _Element:
    """The bytes of one variable, or of the file, and where to complain."""

    def __init__(self, path: Path, data: bytes | bytearray, order: str, budget: list[int], inflated: bool = False) -> None:
        self.path, self.data, self.order, self.budget, self.inflated = path, data, order, budget, inflated
        self.variable = ""
        self.pair = struct.Struct(order + "II").unpack_from

    def wrong(self, at: int, what: str) -> DataError:
        where = f"variable {self.variable!r}, " if self.variable else ""
        unpacked = " of the decompressed variable" if self.inflated else ""
        return DataError(f"{self.path}: {where}byte {at}{unpacked}: {what}. The file is damaged: fetch it again")

    def spend(self, size: int) -> None:
        self.budget[0] -= size + _OVERHEAD
        if self.budget[0] < 0:
            raise DataError(
                f"{self.path}: variable {self.variable!r} would take the file beyond {_ALLOWED >> 20} MiB and {_GROWTH} times its"
                f" size in memory. It is damaged or made to harm; if it is neither, save it without compression (save -v6)"
            )

    def tag(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Type, begin and end of the data, and begin of the next element; `end` is that of the parent."""
        if at + 8 > end:
            raise self.wrong(at, f"{max(end - at, 0)} bytes left for the next element, expected at least 8")
        kind, size = self.pair(self.data, at)
        if kind >> 16:  # a small element: size, type and up to four bytes of data in eight
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise self.wrong(at, f"a small element of {size} bytes, expected at most 4")
            return kind, at + 4, at + 4 + size, at + 8
        start = at + 8
        if start + size > end:
            raise self.wrong(at, f"an element declares {size} bytes, {end - start} are left in what holds it")
        return kind, start, start + size, start + (size + 7 & -8)

    def head(self, at: int, end: int) -> tuple[int, int]:
        """The flags of a matrix, and where its dimensions begin."""
        kind, start, stop, at = self.tag(at, end)
        if kind != 6 or stop - start != 8:
            raise self.wrong(start, f"{stop - start} bytes of type {kind} for the flags of an array, expected 8 of type 6")
        return self.pair(self.data, start)[0], at

    def name(self, at: int, end: int) -> str:
        flags, at = self.head(at, end)
        if flags & 0xFF != 17:  # these objects have no dimensions
            _, _, _, at = self.tag(at, end)
        kind, start, stop, _ = self.tag(at, end)
        if kind not in (1, 2) or stop - start > 63:
            raise self.wrong(start, f"{stop - start} bytes of type {kind} for a name, expected at most 63 of type 1")
        return self.printable(self.data[start:stop], start)

    def printable(self, name: bytes | bytearray, at: int) -> str:
        text = name.decode("latin-1")
        if not text.isprintable():
            raise self.wrong(at, f"the name {text!r}")
        return text

    def matrix(self, at: int, end: int, depth: int) -> Any:
        if at == end:  # how empty cells and fields are written
            return np.zeros((0, 0))
        if depth > _DEPTH:
            raise self.wrong(at, f"cells and structs in one another, more than {_DEPTH} deep")
        begin = at
        flags, at = self.head(at, end)
        of = flags & 0xFF
        if of in _REFUSED:
            raise DataError(
                f"{self.path}: variable {self.variable!r} is or holds {_REFUSED[of]}, which is not read. Name the variables to"
                " read, without it, or make it a plain one (for a sparse matrix, full) and save again with save -v7"
            )
        shape, at = self.shape(at, end)
        _, _, _, at = self.tag(at, end)  # the name
        value: Any
        if of in _CLASSES:
            value, at = self.numbers(at, end, of, flags, shape, own=depth == 0 and isinstance(self.data, bytearray))
        elif of == _CHAR:
            value, at = self.text(at, end, shape)
        elif of in (_CELL, _STRUCT):
            value, at = (self.cells if of == _CELL else self.structs)(at, end, shape, depth)
        else:
            raise self.wrong(begin, f"an array of the unknown class {of}")
        if end - at > 7:
            raise self.wrong(at, f"{end - at} bytes more than an array of shape {shape} has")
        return value

    def shape(self, at: int, end: int) -> tuple[tuple[int, ...], int]:
        kind, start, stop, after = self.tag(at, end)
        count, rest = divmod(stop - start, 4)
        if kind != 5 or rest or not 2 <= count <= 32:
            raise self.wrong(start, f"{stop - start} bytes of type {kind} for dimensions, expected 8 to 128 of type 5")
        shape = struct.unpack_from(f"{self.order}{count}i", self.data, start)
        if min(shape) < 0 or math.prod(filter(None, shape)) > 2**48:
            raise self.wrong(start, f"the shape {shape}")
        return shape, after

    def numbers(self, at: int, end: int, of: int, flags: int, shape: tuple[int, ...], own: bool) -> tuple[NDArray[Any], int]:
        """An array of numbers; `own` bytes, which nothing else refers to, become its memory."""
        dtype = np.dtype(_CLASSES[of])
        parts = []
        for _ in range(2 if flags & _COMPLEX else 1):
            kind, start, stop, at = self.tag(at, end)
            stored = np.dtype(self.order + _STORED.get(kind, "V1"))
            # Whole numbers of any class are packed into the smallest type of integer that holds them.
            if not (np.can_cast(stored, dtype) or (stored.kind in "iu" and dtype.kind == "f")):
                raise self.wrong(start, f"data of type {kind} for an array of {dtype}")
            if math.prod(shape) * stored.itemsize != stop - start:
                raise self.wrong(start, f"{stop - start} bytes of {stored.name} for an array of shape {shape}")
            self.spend(math.prod(shape) * dtype.itemsize)
            parts.append(np.frombuffer(self.data, stored, math.prod(shape), start).astype(dtype, copy=not own))
        if flags & _LOGICAL:
            values: NDArray[Any] = parts[0].astype(np.bool_)
        elif flags & _COMPLEX:
            values = np.empty(len(parts[0]), np.complex64 if dtype == np.float32 else np.complex128)
            values.real, values.imag = parts
        else:
            values = parts[0]
        return values.reshape(shape, order="F"), at

    def text(self, at: int, end: int, shape: tuple[int, ...]) -> tuple[str | list[str], int]:
        kind, start, stop, at = self.tag(at, end)
        count = math.prod(shape)
        encoding = _TEXT.get(kind, "")
        if not encoding or len(shape) > 2:
            raise self.wrong(start, f"text of type {kind} and shape {shape}, expected type 4 or 16 and rows of characters")
        if kind in (4, 17, 18):
            encoding += "-le" if self.order == "<" else "-be"
        try:
            characters: Sequence[str] = self.data[start:stop].decode(encoding)
            if len(characters) != count:  # MATLAB counts UTF-16 units, SciPy what Python calls characters
                units = np.frombuffer("".join(characters).encode("utf-16-le"), "V2")
                characters = [unit.tobytes().decode("utf-16-le", "surrogatepass") for unit in units]
            if len(characters) != count:
                raise self.wrong(start, f"{len(characters)} characters for text of shape {shape}")
            self.spend(4 * count + _OVERHEAD * min(shape[0], count))
            rows = max(min(shape[0], count), 1)
            lines = [
                "".join(characters[row::rows]).encode("utf-16-le", "surrogatepass").decode("utf-16-le") for row in range(rows)
            ]
            return lines[0] if rows == 1 else [line.rstrip(" ") for line in lines], at
        except UnicodeDecodeError as problem:
            raise self.wrong(start, f"text that is not {encoding} ({problem.reason})") from None

    def cells(self, at: int, end: int, shape: tuple[int, ...], depth: int) -> tuple[Any, int]:
        count = math.prod(shape)
        if count * 8 > end - at:
            raise self.wrong(at, f"cells of shape {shape} in {end - at} bytes, which hold at most {(end - at) // 8}")
        values = []
        for _ in range(count):
            value, at = self.part(at, end, depth)
            values.append(value)
        return _shaped(values, shape), at

    def structs(self, at: int, end: int, shape: tuple[int, ...], depth: int) -> tuple[Any, int]:
        kind, start, stop, at = self.tag(at, end)
        width = struct.unpack_from(self.order + "i", self.data, start)[0] if kind == 5 and stop - start == 4 else 0
        _, first, last, at = self.tag(at, end)
        if width < 1 or (last - first) % width:
            raise self.wrong(start, f"{last - first} bytes for the names of fields, each of {width}")
        names = [self.printable(self.data[i : i + width].split(b"\0")[0], i) for i in range(first, last, width)]
        if len(set(names)) < len(names) or "" in names:
            raise self.wrong(first, f"fields without a name of their own: {names}")
        count = math.prod(shape)
        if count > 1 and count * max(len(names), 1) * 8 > end - at:
            raise self.wrong(at, f"structs of shape {shape} with {len(names)} fields in {end - at} bytes")
        values: list[dict[str, Any]] = [{} for _ in range(count)]
        for value in values:
            self.spend(0)
            for name in names:
                value[name], at = self.part(at, end, depth)
        return values[0] if count == 1 else _shaped(values, shape), at

    def part(self, at: int, end: int, depth: int) -> tuple[Any, int]:
        kind, start, stop, after = self.tag(at, end)
        if kind != _MATRIX:
            raise self.wrong(at, f"data of type {kind} in a cell or field, expected 14")
        self.spend(0)
        return self.matrix(start, stop, depth + 1), after


def _shaped(values: list[Any], shape: tuple[int, ...]) -> Any:
    if sum(length > 1 for length in shape) <= 1:
        return values
    array = np.empty(len(values), object)
    for i, value in enumerate(values):
        array[i] = value
    return array.reshape(shape, order="F")


def _inflated(top: _Element, start: int, end: int, names: Sequence[str]) -> tuple[_Element, int, int]:
    """The element in a compressed one. Of a variable that is not wanted only the beginning is decompressed."""
    inflate = zlib.decompressobj()
    source = memoryview(top.data)[start:end]
    try:
        data: bytes | bytearray = inflate.decompress(source[:_PIECE], _PIECE)
        if len(data) < 8:
            raise top.wrong(start, f"a compressed variable of {len(data)} bytes")
        kind, size = top.pair(data)
        inner = _Element(top.path, data, top.order, top.budget, inflated=True)
        if kind != _MATRIX:
            raise inner.wrong(0, f"data of type {kind}, expected a variable (14)")
        if names and inner.name(8, min(size + 8, len(data))) not in names:
            return inner, 8, min(size + 8, len(data))
        if size + 8 > top.budget[0]:
            inner.variable = inner.name(8, len(data))
            inner.spend(size)
        if not inflate.eof and len(data) <= size + 8:
            data = _rest(inflate, bytes(data), source, size + 8)
        if not inflate.eof or len(data) != size + 8:
            less = len(data) < size + 8
            raise top.wrong(start, f"a compressed variable of {size} bytes that holds {'less' if less else 'more'}")
        inner.data = data
    except zlib.error as problem:
        raise top.wrong(start, f"a variable that cannot be decompressed ({problem})") from None
    return inner, 8, size + 8


def _rest(inflate: Any, data: bytes, source: memoryview, size: int) -> bytearray:
    """`data` and what follows it in `source`, up to one byte more than `size`."""
    whole, at = bytearray(size + 1), 0
    pieces: Iterator[bytes | memoryview] = (source[i : i + _PIECE] for i in range(_PIECE, len(source), _PIECE))
    pieces = chain([inflate.unconsumed_tail], pieces)
    while data:
        whole[at : at + len(data)] = data
        at += len(data)
        if at > size:
            break
        data = next(filter(None, (inflate.decompress(piece, size + 1 - at) for piece in pieces)), b"")
    del whole[at:]
    return whole
