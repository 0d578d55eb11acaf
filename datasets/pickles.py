"""Reading a pickled NumPy file without giving the file the power to run code."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from harkd.errors import DataError

_PLAIN = re.compile(r"[biufc]\d{1,2}|[SU][1-9]\d{0,5}|O8?")


class _Dtype:
    """Stands in for a dtype: NumPy's own `__setstate__` believes flags with which a file can crash the process."""

    def __init__(self, code: str) -> None:
        if not _PLAIN.fullmatch(code):
            raise pickle.UnpicklingError(f"it holds values of the type {code!r}")
        self.real = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("it holds structured values")
        self.real = self.real.newbyteorder(state[1])


class _Array:
    """Stands in for an array until the whole file is read."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state

    def real(self, done: dict[int, Any]) -> NDArray[Any]:
        dtype = self.dtype.real
        data = self.data.encode("latin-1") if isinstance(self.data, str) else self.data
        if len(data) != math.prod(self.shape) * (1 if dtype.hasobject else dtype.itemsize):
            raise ValueError(f"the data of an array of {dtype} with shape {self.shape} has length {len(data)}")
        if not dtype.hasobject:
            return np.ndarray(self.shape, dtype, data, order="F" if self.fortran else "C").copy()
        objects = np.empty(len(data), object)
        for i, value in enumerate(data):
            objects[i] = _arrays(value, done)
        return objects.reshape(self.shape)


def _arrays(found: Any, done: dict[int, Any]) -> Any:
    """`found` with every stand-in replaced; what the file mentions twice stays one object."""
    if id(found) in done:
        return done[id(found)]
    if isinstance(found, _Array):
        made: Any = found.real(done)
    elif isinstance(found, dict):
        made = {key: _arrays(value, done) for key, value in found.items()}
    elif isinstance(found, list | tuple):
        made = type(found)(_arrays(value, done) for value in found)
    else:
        return found
    done[id(found)] = made
    return made


def _allowed() -> dict[tuple[str, str], Callable[..., Any]]:
    """The callables that pickled arrays name, made anew for every file: a pickle may set attributes on them."""
    reconstruct: Callable[..., Any] = lambda *_: _Array()  # noqa: E731
    return {
        ("numpy", "ndarray"): lambda: None,  # only ever an argument of _reconstruct
        ("numpy", "dtype"): lambda code, *_: _Dtype(code),
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("_codecs", "encode"): lambda text, encoding: _latin1(text, encoding),
        ("__builtin__", "bytes"): lambda: b"",
    }


def _latin1(text: str, encoding: str) -> bytes:
    # Protocols 0 to 2 have no bytes and spell them through _codecs.encode, and no bytes at all as bytes().
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


class _ArraysOnly(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self.allowed = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load_numpy_pickle(path: Path) -> Any:
    """The object in a `.npy` file of pickled arrays, lists and dictionaries.

    Raises:
        DataError: the file is damaged, or asks for anything but NumPy arrays.
    """
    try:
        with path.open("rb") as file:
            version = npy.read_magic(file)
            if version != (1, 0):
                raise DataError(f"{path.name}: .npy version {version}, expected (1, 0)")
            shape, _, dtype = npy.read_array_header_1_0(file)
            if shape != () or dtype != np.dtype(object):
                raise DataError(f"{path.name}: expected one pickled object, found an array of {dtype} with shape {shape}")
            array = _arrays(_ArraysOnly(file).load(), {})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except pickle.UnpicklingError as problem:
        raise DataError(f"{path.name}: refused, a data file may hold NumPy arrays only, but {problem}") from None
    except DataError:
        raise
    except Exception as problem:  # what a damaged pickle can raise is not documented
        raise DataError(f"{path.name}: damaged .npy file ({problem or type(problem).__name__})") from None
    return array.item() if isinstance(array, np.ndarray) and array.shape == () else array
