"""A data file may hold arrays and nothing else: whatever it asks for beyond them is refused before it runs."""

import io
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from harkd.datasets.pickles import load_numpy_pickle
from harkd.errors import DataError


def written(path: Path, payload: bytes, shape: tuple[int, ...] = (), descr: str = "|O") -> Path:
    """A .npy file of one object, whose pickle is `payload`."""
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    path.write_bytes(header.getvalue() + payload)
    return path


def saved(path: Path, content: object, protocol: int = 4) -> Path:
    array = np.empty((), dtype=object)
    array[()] = content
    return written(path, pickle.dumps(array, protocol=protocol))


def asks(module: str, name: str, argument: str) -> bytes:
    """The pickle of `module.name(argument)`."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def asks_dotted(module: str, name: str, argument: str) -> bytes:
    """The same in protocol 4, where `name` may have dots."""
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    return b"\x80\x04" + words + b"\x93" + b"\x8c" + bytes([len(argument)]) + argument.encode() + b"\x85R."


ATTACKS = {
    "posix.system": asks("posix", "system", "touch MARKER"),
    "os.system": asks("os", "system", "touch MARKER"),
    "builtins.eval": asks("builtins", "eval", "open('MARKER', 'w').close()"),
    "builtins.exec": asks("builtins", "exec", "open('MARKER', 'w').close()"),
    "subprocess.getoutput": asks("subprocess", "getoutput", "touch MARKER"),
    "numpy.testing._private.utils.os.system": asks_dotted("numpy.testing._private.utils", "os.system", "touch MARKER"),
}


@pytest.mark.parametrize("asked", ATTACKS)
def test_an_attack_is_refused_by_name_and_has_no_effect(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "hostile.npy", ATTACKS[asked])
    with pytest.raises(DataError, match=f"hostile.npy: refused.*asks for {asked}"):
        load_numpy_pickle(path)
    assert not Path("MARKER").exists()
    pickle.loads(ATTACKS[asked])
    assert Path("MARKER").exists(), "the attack is harmless, so refusing it proves nothing"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("functools", "partial"),
        ("builtins", "getattr"),
        ("numpy", "load"),
        ("numpy", "memmap"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.testing._private.utils", "runstring"),
        ("harkd.datasets.pickles", "load_numpy_pickle"),
    ],
)
def test_only_what_arrays_need_may_be_named(module: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"asks for {module}.{name}"):
        load_numpy_pickle(written(tmp_path / "file.npy", asks(module, name, "x")))


def test_bytes_in_another_encoding_are_refused(tmp_path: Path) -> None:
    payload = b"c_codecs\nencode\n(Vabc\nV%s\ntR."
    assert load_numpy_pickle(written(tmp_path / "latin.npy", payload % b"latin1")) == b"abc"
    with pytest.raises(DataError, match="bytes in the encoding 'rot13'"):
        load_numpy_pickle(written(tmp_path / "rot.npy", payload % b"rot13"))


def test_what_one_file_does_to_the_callables_does_not_reach_the_next(tmp_path: Path) -> None:
    # BUILD (b) sets attributes on the object before it: here the defaults of the function that stands for _codecs.encode.
    payload = b"c_codecs\nencode\n(N(V__defaults__\n(Vabc\nVlatin1\ntdtb"
    hostile = written(tmp_path / "hostile.npy", payload + b")R.")
    assert load_numpy_pickle(hostile) == b"abc"
    with pytest.raises(DataError, match="damaged"):
        load_numpy_pickle(written(tmp_path / "next.npy", b"c_codecs\nencode\n)R."))


class Reduces:
    """Pickles as `function(*arguments)` with `state`."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> Any:
        return self.reduced


def array_of(shape: Any, dtype: Any, data: Any) -> Reduces:
    reconstruct = np.zeros(1).__reduce__()[0]
    return Reduces(reconstruct, (np.ndarray, (0,), b"b"), (1, shape, dtype, False, data))


def test_flags_that_would_crash_numpy_are_not_believed(tmp_path: Path) -> None:
    # 63 says "these are references": NumPy would take the numbers for addresses of Python objects.
    dtype = Reduces(np.dtype, ("i8", False, True), (3, "<", None, None, None, -1, -1, 63))
    forged = array_of((2,), dtype, np.array([7, 8]).tobytes())
    found = load_numpy_pickle(written(tmp_path / "forged.npy", pickle.dumps(forged)))
    assert found.tolist() == [7, 8]
    assert found.dtype == np.dtype("<i8")
    assert not found.dtype.hasobject


@pytest.mark.parametrize(
    ("shape", "dtype", "data", "message"),
    [
        ((3,), np.dtype("f8"), bytes(16), r"shape \(3,\) has length 16"),
        ((-1, -2), np.dtype("f8"), bytes(16), "damaged"),
        ((10**9,), np.dtype("O"), [1, 2], "length 2"),
        ((2,), np.dtype("f8"), [1.0, 2.0], "damaged"),
        ((1,), np.dtype("V8"), bytes(8), "values of the type 'V8'"),
        ((1,), np.dtype("M8[s]"), bytes(8), "values of the type 'M8'"),
        ((1,), np.dtype([("a", "f8")]), bytes(8), "values of the type 'V8'"),
    ],
)
def test_arrays_that_do_not_add_up_are_refused(shape: Any, dtype: Any, data: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "odd.npy", pickle.dumps(array_of(shape, dtype, data)))
    with pytest.raises(DataError, match=rf"odd\.npy: .*{message}"):
        load_numpy_pickle(path)


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    np.arange(4, dtype=">f4"),
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2],
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["é", "right"]),
    np.array([b"ab", b"\xff"]),
    np.zeros((0, 3)),
    np.array(5.0),
]


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back_as_they_were(array: np.ndarray, protocol: int, tmp_path: Path) -> None:
    found = load_numpy_pickle(saved(tmp_path / "file.npy", {"x": [array, (array[:1] if array.ndim else array,)]}, protocol))
    whole, (part,) = found["x"]
    assert type(whole) is np.ndarray
    assert whole.dtype == array.dtype
    np.testing.assert_array_equal(whole, array)
    np.testing.assert_array_equal(part, array[:1] if array.ndim else array)


def test_plain_objects_come_back_as_they_were(tmp_path: Path) -> None:
    content = {"text": "é", "bytes": b"\x00\xff", "number": 3, "none": None, "nested": [{"a": (1, 2.5)}]}
    assert load_numpy_pickle(saved(tmp_path / "file.npy", content)) == content


def test_arrays_of_arrays_keep_their_shape_and_share_what_was_shared(tmp_path: Path) -> None:
    part = np.arange(3)
    ragged = np.empty((2, 2), dtype=object)
    ragged[:] = [[part, np.arange(3)], [part, np.arange(1)]]
    found = load_numpy_pickle(saved(tmp_path / "file.npy", [ragged]))[0]
    assert found.shape == (2, 2)
    assert found[0, 0] is found[1, 0]
    assert [cell.tolist() for cell in found.ravel()] == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0]]


def test_a_list_that_holds_itself_is_damage(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DataError, match="damaged"):
        load_numpy_pickle(saved(tmp_path / "endless.npy", endless))


def test_many_mentions_of_few_objects_stay_few(tmp_path: Path) -> None:
    bomb: list[Any] = [1]
    for _ in range(60):
        bomb = [bomb, bomb]  # 2**60 if every mention became an object
    found = load_numpy_pickle(saved(tmp_path / "bomb.npy", bomb))
    assert found[0] is found[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"subject,label\n1,2\n", "damaged"),
        (b"\x93NUMPX\x01\x00v\x00", "damaged"),
        (b"\x93NUMPY\x02\x00v\x00\x00\x00", r"\.npy version \(2, 0\), expected \(1, 0\)"),
    ],
)
def test_what_is_not_a_npy_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"file\.npy.*{message}"):
        load_numpy_pickle(path)


@pytest.mark.parametrize(
    ("array", "message"), [(np.arange(3.0), "array of float64 with shape"), (np.array([1, "a"], object), "(2,)")]
)
def test_other_arrays_are_not_one_object(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "file.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"file\.npy: expected one pickled object") as caught:
        load_numpy_pickle(tmp_path / "file.npy")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.npy: no such file"):
        load_numpy_pickle(tmp_path / "absent.npy")


@pytest.fixture(scope="module")
def legit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("pickles") / "file.npy"
    return path, saved(path, {"X": [np.arange(4.0), np.arange(3)], "y": np.array(["a", "b"])}).read_bytes()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(legit: tuple[Path, bytes], share: float) -> None:
    path, whole = legit
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"file\.npy"):
        load_numpy_pickle(path)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused_but_never_crashes(legit: tuple[Path, bytes], changes: list[tuple[float, int]]) -> None:
    path, whole = legit
    damaged = bytearray(whole)
    for share, byte in changes:
        damaged[int(share * len(whole))] = byte
    path.write_bytes(damaged)
    with suppress(DataError):
        load_numpy_pickle(path)
