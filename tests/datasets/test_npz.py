"""Arrays are read as NumPy reads them, one at a time, and no file runs code, fills the memory or raises but DataError."""

import io
import os
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from harkd.datasets.npz import read_npz
from harkd.errors import DataError

DATA = Path(os.environ.get("HARKD_TEST_DATA", "")) / "eegmmidb" / "npz"
CORPUS = Path(__file__).parent / "corpus" / "npz"
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=allow_pickle)
    return content.getvalue()


def headed(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header.encode("latin-1") + data


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return content.getvalue()


def attempt(path: Path, content: bytes) -> tuple[str, int]:
    """The message of the DataError, if any, and the most memory that reading every array took; other errors go on."""
    path.write_bytes(content)
    message = ""
    tracemalloc.start()
    try:
        for array in read_npz(path).values():
            repr(array)
    except DataError as problem:
        message = str(problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return message, peak


@pytest.mark.skipif(not DATA.is_dir(), reason="HARKD_TEST_DATA does not name a folder with eegmmidb/npz")
def test_real_recordings_are_what_numpy_reads() -> None:
    path = DATA / "S001.npz"
    ours = read_npz(path)
    with np.load(path) as theirs:
        assert list(ours) == theirs.files
        for name in ("R01", "R07", "R07_onset", "R07_label", "ch_names", "sfreq", "runs"):
            np.testing.assert_array_equal(ours[name], theirs[name], strict=True)


arrays = npst.arrays(
    npst.scalar_dtypes().filter(lambda dtype: dtype.kind in "biufcSU"),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
).map(lambda array: np.asfortranarray(array) if array.ndim == 2 else array)


@given(array=arrays, method=st.sampled_from([*METHODS, None]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_array_is_what_was_saved(array: Any, method: int | None, tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(npy(array) if method is None else zipped({"any.npy": npy(array), "group/b.npy": npy(3)}, method))
    found = read_npz(path)
    assert list(found) == ["any"] + ["group/b"] * (method is not None)
    value = found["any"]
    np.testing.assert_array_equal(value, array.astype(array.dtype.newbyteorder("=")), strict=True)
    assert value.flags.writeable
    assert value.flags.f_contiguous == array.flags.f_contiguous


def test_it_is_a_mapping(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.arange(3), b=np.ones(2))
    found = read_npz(tmp_path / "two.npz")
    assert (len(found), list(found), "a" in found, "c" in found, found.get("c")) == (2, ["a", "b"], True, False, None)
    with pytest.raises(DataError, match=r"two.npz: no array 'c'; it holds a, b$"):
        found["c"]


def test_one_array_is_read_without_the_others(tmp_path: Path) -> None:
    content = zipped({"good.npy": npy(np.arange(3)), "bad.npy": npy(np.arange(100.0))}, zipfile.ZIP_STORED)
    at = content.index(np.arange(100.0).tobytes())
    (tmp_path / "half.npz").write_bytes(content[: at + 8] + b"\xff" + content[at + 9 :])
    found = read_npz(tmp_path / "half.npz")
    assert found["good"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"half.npz: array 'bad': damaged.*Bad CRC-32"):
        found["bad"]


PICKLED = npy(np.array([print], object), allow_pickle=True)
FULL = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }\n"
REFUSED = {
    "pickle.npz": (zipped({"x.npy": PICKLED}), "array 'x': holds pickled objects, which could run code"),
    "pickle.npy": (PICKLED, "array 'pickle': holds pickled objects"),
    "structured.npy": (npy(np.zeros(2, [("a", "f8")])), "the header .*expected the type of plain values"),
    "times.npy": (npy(np.zeros(2, "M8[s]")), "values of type '<M8.s.', expected numbers, booleans or texts"),
    "version.npy": (headed(FULL % 0, version=b"\3\0"), "expected .* and version 1.0 or 2.0"),
    "long.npy": (headed(FULL % 0 + " " * 20_000), "a header of 20058 bytes, expected at most 10000"),
    "calls.npy": (headed("{'descr': print(1), 'fortran_order': False, 'shape': ()}"), "the header .{2}'descr': print"),
    "more.npy": (headed(FULL % 2, bytes(24)), "declares float64 of shape .2,., 16 bytes, and 24 follow it"),
    "lie.npy": (headed(FULL % 10**12, bytes(24)), "8000000000000 bytes, and 24 follow it"),
    "nothing.npy": (headed("{'descr': '|S0', 'fortran_order': False, 'shape': (99999999,)}"), "values of type '.S0'"),
    "huge.npy": (headed(FULL % "0, 9999999999, 9999999999"), "whose shape or order makes no sense"),
    "text.npy": (headed("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", b"\0\0\x11\0"), "no values of type <U1"),
    "bool.npy": (headed("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", b"\1\2"), "no values of type bool"),
    "up.npz": (zipped({"../x.npy": npy(1)}), "holds '../x.npy', expected arrays of different names"),
    "root.npz": (zipped({"/etc/x.npy": npy(1)}), "holds '/etc/x.npy', expected arrays"),
    "other.npz": (zipped({"x.npy": npy(1), "run.py": b"1"}), "holds 'run.py', expected arrays"),
    "bzip.npz": (zipped({"x.npy": npy(1)}, zipfile.ZIP_BZIP2), "array 'x' is compressed by method 12"),
    "cut.npz": (zipped({"x.npy": npy(1)})[:-30], r"damaged, or no NumPy file \(File is not a zip file\)"),
    "empty.npz": (b"", "damaged, or no NumPy file"),
    "bomb.npz": (zipped({"x.npy": npy(np.zeros(2**22))}), "33554560 bytes, more than 16 MiB and 100 times what they are"),
    "lzma.npz": (zipped({"x.npy": npy(np.zeros(2**22))}, zipfile.ZIP_LZMA), "33554560 bytes, more than 16 MiB and 100"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_why(name: str, tmp_path: Path) -> None:
    content, expected = REFUSED[name]
    message, peak = attempt(tmp_path / name, content)
    assert re.search(f"{name}: .*{expected}", message), message
    assert peak < 2**22 + 2 * len(content)


def test_two_members_of_one_name_and_an_encrypted_one(tmp_path: Path) -> None:
    twice = zipped({"x.npy": npy(1), "y.npy": npy(2)}, zipfile.ZIP_STORED).replace(b"y.npy", b"x.npy")
    assert "holds 'x.npy' twice" in attempt(tmp_path / "twice.npz", twice)[0]
    secret = bytearray(zipped({"x.npy": npy(1)}))
    secret[secret.index(b"PK\1\2") + 8] |= 1
    assert "array 'x' is encrypted" in attempt(tmp_path / "secret.npz", bytes(secret))[0]
    with pytest.raises(DataError, match=r"none.npz: cannot be read \(No such file"):
        read_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("method", METHODS)
def test_a_member_that_holds_more_than_it_declares(method: int, tmp_path: Path) -> None:
    """The directory says 200 bytes, the stream expands to 16 MiB: neither the memory nor the time is spent on it."""
    inner = npy(np.zeros(9))
    content = bytearray(zipped({"x.npy": inner + bytes(2**24)}, method))
    at = content.index(b"PK\1\2")
    content[at + 24 : at + 28] = struct.pack("<I", len(inner))
    message, peak = attempt(tmp_path / "more.npz", bytes(content))
    assert "array 'x': damaged" in message
    assert peak < 2**22 + 2 * len(content)


VALID = [
    npy(np.arange(6.0).reshape(2, 3)),
    *(zipped({"R04.npy": npy(np.arange(12, dtype="i2").reshape(3, 4)), "label.npy": npy(["T0", "T1"])}, how) for how in METHODS),
]
LIES = [struct.pack("<I", n) for n in (0, 1, 2**31, 2**32 - 1)] + [b"999999", b"U", b"O", b"\0\0", b"'<f2'"]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        new = draw(st.sampled_from(LIES) | st.binary(min_size=1, max_size=3))
        content[at : at + len(new)] = new
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


@given(content=damaged())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_named_or_harmless(content: bytes, tmp_path: Path) -> None:
    message, peak = attempt(tmp_path / "damaged.npz", content)
    assert not message or "damaged.npz: " in message
    assert peak < 2**24 + 2**22  # up to 16 MiB are believed


CORPUS_SAYS = {
    "codes.npy": "no values of type <U1",
    "crc.npz": "array 'x': damaged.*Bad CRC-32",
    "crc_lzma.npz": "array 'x': damaged.*Bad CRC-32",
    "cut.npz": "damaged, or no NumPy file",
    "directory.npz": "damaged, or no NumPy file",
    "empty_texts.npy": "values of type '.S0'",
    "encrypted.npz": "array 'x' is encrypted",
    "more.npz": "follow it",
    "no_header.npy": "the header",
    "offset_lzma.npz": "does not begin where the directory",
    "offset_negative.npz": "damaged",
    "packed_size.npz": "4294967294 bytes, more than 16 MiB",
    "pickle.npz": "holds pickled objects",
    "shape.npy": "8000000000000 bytes, and 24 follow it",
    "size.npz": "4294967294 bytes, more than 16 MiB",
    "twice.npz": "holds 'x.npy' twice",
    "up.npz": "holds '../x.npy'",
}


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_what_was_found_once_stays_found(name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: .*{CORPUS_SAYS[name]}"):
        dict(read_npz(CORPUS / name))
