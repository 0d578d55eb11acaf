"""MATLAB files are read as SciPy reads them, and what is wrong with one is said: no file raises anything but DataError."""

import os
import re
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from harkd.datasets.matlab import read_mat
from harkd.errors import DataError

DATA = Path(os.environ.get("HARKD_TEST_DATA", ""))
CORPUS = Path(__file__).parent / "corpus" / "mat"
REAL = pytest.mark.skipif(
    not ((DATA / "utd-mhad").is_dir() and (DATA / "bci2-iv").is_dir()),
    reason="HARKD_TEST_DATA does not name a folder with utd-mhad and bci2-iv",
)


def element(kind: int, data: bytes, order: str = "<", size: int | None = None) -> bytes:
    """A tag, which may lie about the size, and its data, padded to eight bytes."""
    return struct.pack(order + "II", kind, len(data) if size is None else size) + data + bytes(-len(data) % 8)


def matrix(of: int, shape: Sequence[int], *parts: bytes, name: bytes = b"x", order: str = "<", size: int | None = None) -> bytes:
    """A variable of the class `of & 255` with the flags in the other bits; `parts` are the elements behind its name."""
    flags = element(6, struct.pack(order + "II", of, 0), order)
    dimensions = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + dimensions + element(1, name, order) + b"".join(parts), order, size)


def packed(variable: bytes, level: int = 6) -> bytes:
    data = zlib.compress(variable, level)
    return struct.pack("<II", 15, len(data)) + data


def file(*variables: bytes, order: str = "<") -> bytes:
    mark = b"\0\1IM" if order == "<" else b"\1\0MI"
    return b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + mark + b"".join(variables)


def text(word: str) -> bytes:
    return matrix(4, (1, len(word)), element(16, word.encode()), name=b"")


ONE = matrix(6, (1, 1), element(9, struct.pack("<d", 1.5)), name=b"one")


def read(folder: Path, content: bytes, **chosen: Any) -> dict[str, Any]:
    path = folder / "made.mat"
    path.write_bytes(content)
    return read_mat(path, **chosen)


def same(ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    np.testing.assert_array_equal(ours, theirs, strict=True)
    assert ours.flags.writeable
    assert ours.flags.f_contiguous == theirs.flags.f_contiguous


@REAL
@pytest.mark.parametrize("kind", ["Inertial", "Skeleton"])
def test_real_recordings_are_what_scipy_reads(kind: str) -> None:
    paths = sorted((DATA / "utd-mhad" / kind).glob("*.mat"))
    assert len(paths) == 861
    for path in paths[::3]:
        (name, value), *others = read_mat(path).items()
        assert not others
        same(value, scipy.io.loadmat(path, variable_names=[name])[name])


@REAL
def test_real_epochs_and_channel_names() -> None:
    path = DATA / "bci2-iv" / "sp1s_aa.mat"
    theirs = scipy.io.loadmat(path, mat_dtype=True)
    ours = read_mat(path)
    assert ours.pop("clab") == [str(name[0]) for name in theirs["clab"].ravel()]
    assert sorted(ours) == ["x_test", "x_train", "y_train"]
    for name, value in ours.items():
        same(value, theirs[name])
    assert list(read_mat(path, ["y_train"])) == ["y_train"]


def test_a_variable_that_is_decompressed_in_pieces(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 1000), dtype=np.uint8)  # zlib cannot make it smaller
    runs = np.repeat(np.arange(40.0), 10_000)[:, None]
    variables = {"noise": noise, "runs": runs}
    scipy.io.savemat(tmp_path / "pieces.mat", variables, do_compression=True)
    for name, value in read_mat(tmp_path / "pieces.mat").items():
        same(value, np.asfortranarray(variables[name]))
    content = (tmp_path / "pieces.mat").read_bytes()
    at = content.index(b"x", 200_000)
    with pytest.raises(DataError, match="byte 136: a variable that cannot be decompressed"):
        read(tmp_path, content[:at] + b"y" + content[at + 1 :])
    assert list(read(tmp_path, content, names=["runs"])) == ["runs"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_file_worked_out_by_hand(order: str, tmp_path: Path) -> None:
    pair = lambda kind, data: element(kind, data, order)  # noqa: E731
    small = struct.pack(order + "I", 3 << 16 | 2) + b"\x01\x02\xff\0"  # three bytes in the tag itself
    variables = [
        matrix(6, (3, 1), small, name=b"packed", order=order),
        matrix(
            0x0800 | 7, (1, 2), pair(7, struct.pack(order + "2f", 1, 2)), pair(3, struct.pack(order + "2h", -3, 4)), order=order
        ),
        matrix(0x0200 | 9, (2, 2), pair(2, b"\1\0\0\1"), name=b"mask", order=order),
        matrix(12, (2, 1, 2), pair(5, struct.pack(order + "4i", 1, 2, -3, 2**31 - 1)), name=b"i", order=order),
        matrix(4, (1, 2), pair(4, "µß".encode("utf-16" + ("-le" if order == "<" else "-be"))), name=b"c", order=order),
        matrix(4, (2, 3), pair(1, b"abcd e"), name=b"rows", order=order),
    ]
    found = read(tmp_path, file(*variables, order=order))
    same(found["packed"], np.array([[1.0], [2.0], [255.0]]))
    same(found["x"], np.array([[1 - 3j, 2 + 4j]], np.complex64))
    same(found["mask"], np.array([[True, False], [False, True]], order="F"))
    same(found["i"], np.array([[[1, -3]], [[2, 2**31 - 1]]], np.int32, order="F"))
    assert (found["c"], found["rows"]) == ("µß", ["ac", "bde"])


@pytest.mark.parametrize("compressed", [False, True])
def test_texts_cells_and_structs(compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "nested.mat"
    empty = np.zeros((0, 0))
    cells = lambda *values: np.array([*values, None], object)[:-1]  # noqa: E731
    scipy.io.savemat(
        path,
        {
            "names": cells("Fz", "Cz", "naïve 𝄞"),
            "word": "left hand ",
            "nothing": "",
            "mixed": cells("a", np.arange(3.0), cells("b")),
            "grid": np.array([["a", "b"], ["c", "d"]], object),
            "none": empty,
            "trial": {"x": np.arange(6.0).reshape(2, 3), "y": 3, "who": {"name": "S01"}},
            "trials": np.array([(1.0, "a"), (2.0, "b")], dtype=[("at", object), ("label", object)]),
        },
        do_compression=compressed,
    )
    found = read_mat(path)
    assert found["names"] == ["Fz", "Cz", "naïve 𝄞"]
    assert (found["word"], found["nothing"]) == ("left hand ", "")
    assert found["mixed"][0] == "a"
    same(found["mixed"][1], np.arange(3.0)[None])
    assert found["mixed"][2] == ["b"]
    assert found["grid"].tolist() == [["a", "b"], ["c", "d"]]
    same(found["none"], empty)
    np.testing.assert_array_equal(found["trial"]["x"], np.arange(6.0).reshape(2, 3))
    assert (found["trial"]["y"].tolist(), found["trial"]["who"]) == ([[3]], {"name": "S01"})
    assert [(trial["at"].item(), trial["label"]) for trial in found["trials"]] == [(1.0, "a"), (2.0, "b")]
    assert list(read_mat(path, ["word", "grid"])) == ["word", "grid"]


numbers = npst.arrays(
    st.sampled_from(
        [*(np.dtype(code) for code in ("f8", "f4", "c8", "c16", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "?"))]
    ),
    npst.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4),
)
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
variables = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True), numbers | words, max_size=4)


@given(content=variables, compressed=st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_what_scipy_reads(content: dict[str, Any], compressed: bool, tmp_path: Path) -> None:
    path = tmp_path / "any.mat"
    scipy.io.savemat(path, content, do_compression=compressed)
    theirs = scipy.io.loadmat(path)
    ours = read_mat(path)
    assert list(ours) == list(content)
    for name, value in ours.items():
        np.testing.assert_array_equal(value, content[name], strict=True)
        if not isinstance(value, str):
            np.testing.assert_array_equal(value, theirs[name])


OPAQUE = element(14, element(6, struct.pack("<II", 17, 0)) + element(1, b"table") + element(1, b"MCOS"))
REFUSED = {
    "sparse": (matrix(5, (1, 1), name=b"s"), "variable 's' is or holds a sparse matrix"),
    "handle": (matrix(16, (1, 1), name=b"f"), "variable 'f' is or holds a function handle"),
    "object": (OPAQUE, "variable 'table' is or holds an object"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_read_is_named_and_can_be_left_out(what: str, tmp_path: Path) -> None:
    variable, message = REFUSED[what]
    for content in (file(variable, ONE), file(packed(variable), packed(ONE))):
        with pytest.raises(DataError, match=message):
            read(tmp_path, content)
        assert read(tmp_path, content, names=["one"])["one"].tolist() == [[1.5]]


def test_other_versions(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "four.mat", {"x": np.ones(3)}, format="4")
    with pytest.raises(DataError, match=r"four.mat: not a MATLAB file.*perhaps of version 4.*save it again with save -v7"):
        read_mat(tmp_path / "four.mat")
    with pytest.raises(DataError, match=r"version 7.3 \(HDF5\).*save it again with save -v7"):
        read(tmp_path, b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(DataError, match=r"none.mat: cannot be read \(No such file"):
        read_mat(tmp_path / "none.mat")
    with pytest.raises(DataError, match="no variable 'two'; it holds one"):
        read(tmp_path, file(ONE), names=["two"])


def attempt(path: Path, content: bytes, names: Sequence[str] = ()) -> tuple[str, int]:
    """The message of the DataError, if any, and the most memory that reading took; any other error goes on."""
    path.write_bytes(content)
    message = ""
    tracemalloc.start()
    try:
        read_mat(path, names)
    except DataError as problem:
        message = str(problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return message, peak


ZEROS = element(2, bytes(2**25))
BOMBS = {
    "an honest bomb": (packed(matrix(9, (1, 2**25), ZEROS), 9), "would take the file beyond 16 MiB and 100 times its size"),
    "expands once more": (packed(matrix(6, (1, 2**22), element(2, bytes(2**22))), 9), "would take the file beyond 16 MiB"),
    "cells of nothing": (
        packed(matrix(1, (1, 2**18), bytes([14, 0, 0, 0, 0, 0, 0, 0]) * 2**18), 9),
        "would take the file beyond",
    ),
    "says little, has much": (packed(matrix(9, (1, 8), ZEROS, size=80), 9), "a compressed variable of 80 bytes that holds more"),
    "says much, has little": (packed(matrix(9, (1, 8), size=2**32 - 1)), "would take the file beyond 16 MiB"),
    "a lying shape": (matrix(6, (2**16, 2**15), element(9, bytes(8))), "8 bytes of float64 for an array of shape"),
    "a lying cell": (matrix(1, (2**16, 2**15)), r"cells of shape \(65536, 32768\) in 0 bytes, which hold at most 0"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_file_takes_much_more_memory_than_it_has_bytes(bomb: str, tmp_path: Path) -> None:
    variable, expected = BOMBS[bomb]
    message, peak = attempt(tmp_path / "bomb.mat", file(variable))
    assert re.search(expected, message)
    assert peak < 2**26
    assert attempt(tmp_path / "bomb.mat", file(variable, ONE), ["one"]) < ("", 2**19)


def valid() -> list[bytes]:
    plain = matrix(6, (2, 3), element(9, np.arange(6.0).tobytes()), name=b"d_iner")
    cells = matrix(1, (1, 2), text("Fz"), matrix(6, (1, 2), element(2, b"\1\2"), name=b""), name=b"clab")
    fields = element(5, struct.pack("<i", 4)) + element(1, b"a\0\0\0bc\0\0")
    struct_ = matrix(2, (1, 1), fields, text("left"), matrix(0x0800 | 7, (0, 0), element(7, b""), element(7, b""), name=b""))
    return [file(plain, cells), file(packed(plain), packed(cells)), file(struct_), file(packed(struct_), ONE)]


VALID = valid()
LIES = [struct.pack("<I", n) for n in (0, 1, 14, 15, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 4 << 16 | 1, 5 << 16 | 1)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(120, len(content)))
        new = draw(st.sampled_from(LIES) | st.binary(min_size=1, max_size=4))
        at = at & -4 if new in LIES else at
        content[at : at + len(new)] = new
    damage = bytes(content[: draw(st.none() | st.integers(0, len(content)))])
    if draw(st.booleans()) and len(damage) > 136 and damage[128] == 14:  # inside a compressed variable no checksum helps
        return damage[:128] + packed(damage[128:])
    return damage


@given(content=damaged())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_named_or_harmless(content: bytes, tmp_path: Path) -> None:
    message, peak = attempt(tmp_path / "damaged.mat", content)
    assert not message or "damaged.mat" in message
    assert peak < 2**22


def test_damage_to_a_compressed_variable_changes_no_value(tmp_path: Path) -> None:
    content = file(packed(matrix(6, (2, 3), element(9, np.arange(6.0).tobytes()))))
    unread = 0
    for at in range(128, len(content)):
        for bit in (1, 16, 128):
            try:
                found = read(tmp_path, content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
            except DataError:
                unread += 1
            else:
                assert found["x"].ravel("F").tolist() == [0, 1, 2, 3, 4, 5]
    assert unread >= 3 * (len(content) - 128) - 3  # a byte of the stream may end with bits that mean nothing
    for end in range(129, len(content)):
        with pytest.raises(DataError, match=r"made\.mat"):
            read(tmp_path, content[:end])


CORPUS_SAYS = {
    "cells.mat": "cells of shape",
    "checksum.mat": "incorrect data check",
    "class.mat": "unknown class 76",
    "cut.mat": "an element declares",
    "deep.mat": "more than 32 deep",
    "fields.mat": "names of fields, each of 0",
    "imaginary.mat": "16 bytes more than an array",
    "more.mat": "72 bytes that holds more",
    "name.mat": "the name",
    "nan.mat": "data of type 9 for an array of int8",
    "shape.mat": "8 bytes of float64 for an array of shape",
    "shape_negative.mat": r"the shape \(-1, -1\)",
    "shape_overflow.mat": "the shape",
    "size.mat": "declares 4294967295 bytes",
    "size_compressed.mat": "beyond 16 MiB and 100 times its size",
    "small.mat": "a small element of 200 bytes",
    "sparse.mat": "is or holds a sparse matrix",
    "structs.mat": "structs of shape",
    "text.mat": "text that is not utf-8",
    "text_rows.mat": "3 characters for text of shape",
    "twice.mat": "a second variable 'one'",
}


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_what_was_found_once_stays_found(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: .*{CORPUS_SAYS[name]}"):
        read_mat(CORPUS / name)
