"""Unpacking archives: what comes out is what went in, and nothing comes out of one that is damaged or made to harm."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harkd.datasets.archives import is_archive, stem, unpack
from harkd.errors import DataError, HarkdError

CORPUS = Path(__file__).parent / "corpus" / "archives"
Content = Sequence[tuple[str, bytes]]  # a name that ends in / is a folder
CONTENT: Content = (
    ("top.csv", b"1,2\n"),
    ("data/", b""),
    ("data/Bröt/größe.bin", bytes(range(256)) * 10),
    ("data/empty.txt", b""),
    ("no files/", b""),
)


def as_zip(content: Content, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", kind) as pack:
        for name, data in content:
            info = zipfile.ZipInfo(name)
            info.filename = name  # a zero byte would be cut off
            pack.writestr(info, data, kind)
    return packed.getvalue()


def as_tar(content: Content, form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.TarFile(fileobj=packed, mode="w", format=form) as pack:
        for name, data in content:
            info = tarfile.TarInfo(name.removesuffix("/") if name != "/" else name)
            info.type, info.size = (tarfile.DIRTYPE, 0) if name.endswith("/") else (tarfile.REGTYPE, len(data))
            pack.addfile(info, io.BytesIO(data))
    return packed.getvalue()


FORMATS: Mapping[str, Callable[[Content], bytes]] = {
    "zip": as_zip,
    "stored.zip": lambda content: as_zip(content, zipfile.ZIP_STORED),
    "bz2.zip": lambda content: as_zip(content, zipfile.ZIP_BZIP2),
    "lzma.zip": lambda content: as_zip(content, zipfile.ZIP_LZMA),
    "tar": as_tar,
    "gnu.tar": lambda content: as_tar(content, tarfile.GNU_FORMAT),
    "ustar.tar": lambda content: as_tar(content, tarfile.USTAR_FORMAT),
    "tar.gz": lambda content: gzip.compress(as_tar(content), mtime=0),
    "tar.bz2": lambda content: bz2.compress(as_tar(content)),
    "tar.xz": lambda content: lzma.compress(as_tar(content)),
}


def written(folder: Path, packed: bytes, name: str = "archive") -> Path:
    (folder / name).write_bytes(packed)
    return folder / name


def inside(folder: Path) -> dict[str, bytes]:
    """All that lies in a folder; the names of folders end in /."""
    found = {}
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        name = path.relative_to(folder).as_posix()
        found.update({f"{name}/": b""} if path.is_dir() else {name: path.read_bytes()})
    return found


def expected(content: Content) -> dict[str, bytes]:
    """The same of what was packed."""
    parents = {f"{parent}/": b"" for name, _ in content for parent in map(Path.as_posix, Path(name).parents) if parent != "."}
    return parents | dict(content)


def refused(folder: Path, packed: bytes, *says: str, **limits: Any) -> None:
    """The archive is refused with a message that holds all these words, and leaves nothing."""
    archive = written(folder, packed)
    with pytest.raises(DataError) as caught:
        unpack(archive, folder / "into", **limits)
    for word in (str(archive), *says):
        assert word in str(caught.value)
    assert [path.name for path in folder.iterdir()] == [archive.name]


# What comes out


@pytest.mark.parametrize("kind", FORMATS)
def test_what_comes_out_went_in(tmp_path: Path, kind: str) -> None:
    content = [*CONTENT, ("./large.bin", os.urandom((1 << 20) + 5))]
    assert unpack(written(tmp_path, FORMATS[kind](content)), tmp_path / "deep" / "into") == tmp_path / "deep" / "into"
    assert inside(tmp_path / "deep" / "into") == expected([*CONTENT, ("large.bin", content[-1][1])])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["into"]


@pytest.mark.parametrize("kind", ["zip", "gnu.tar", "tar"])
def test_long_names(tmp_path: Path, kind: str) -> None:
    content = [(f"{'d' * 150}/{'e' * 150}/{'f' * 250}.csv", b"long")]
    unpack(written(tmp_path, FORMATS[kind](content)), tmp_path / "into")
    assert inside(tmp_path / "into") == expected(content)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_only_resource_forks_are_left_out(tmp_path: Path, kind: str) -> None:
    kept = [("a/x.csv", b"1"), (".hidden", b"2"), ("a/.DS_Store", b"3"), ("_.x", b"4")]
    forks = [("__MACOSX/a/._x.csv", b"fork"), ("a/._x.csv", b"fork"), ("__MACOSX/plain", b"fork")]
    unpack(written(tmp_path, FORMATS[kind]([*kept, *forks])), tmp_path / "into")
    assert inside(tmp_path / "into") == expected(kept)
    (tmp_path / "other").mkdir()
    refused(tmp_path / "other", FORMATS[kind](forks), "holds no files")


def test_modes_are_not_taken_over(tmp_path: Path) -> None:
    info = tarfile.TarInfo("file")
    info.mode, info.uid = 0o4777, 12345
    packed = io.BytesIO()
    with tarfile.TarFile(fileobj=packed, mode="w") as pack:
        pack.addfile(info)
    about = (unpack(written(tmp_path, packed.getvalue()), tmp_path / "into") / "file").stat()
    assert (stat.S_IMODE(about.st_mode) & 0o7111, about.st_uid) == (0, os.getuid())


def test_nothing_is_replaced(tmp_path: Path) -> None:
    archive = written(tmp_path, as_zip(CONTENT))
    (tmp_path / "into").mkdir()
    with pytest.raises(HarkdError, match=r"cannot make the folder .*into: there is something of that name already"):
        unpack(archive, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


PARTS = st.text(max_size=6) | st.sampled_from(["a", "A", "..", ".", "b/", "é", "e\u0301"])
MEMBERS = st.tuples(st.lists(PARTS, max_size=4).map("/".join), st.binary(max_size=600))


@given(content=st.lists(MEMBERS, max_size=5), kind=st.sampled_from(sorted(FORMATS)))
@settings(max_examples=120, deadline=None)
@example(content=[("a", b"1"), ("a/b", b"2")], kind="zip")
def test_any_names_come_out_inside_or_not_at_all(content: Content, kind: str) -> None:
    try:
        packed = FORMATS[kind](content)
    except (UnicodeError, ValueError, UserWarning):
        return  # the writer refuses such names
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        root.mkdir()
        archive = written(root, packed)
        try:
            into = unpack(archive, root / "into")
        except DataError as problem:
            assert (str(archive) in str(problem), os.listdir(root)) == (True, ["archive"])  # noqa: PT017
        else:
            wanted = {}
            for member, data in content:
                parts = [part for part in member.split("/") if part not in ("", ".")]
                assert ".." not in parts
                if parts and not parts[-1].startswith("._") and not member.endswith("/"):
                    wanted["/".join(parts)] = data
            assert {name: data for name, data in inside(into).items() if not name.endswith("/")} == wanted
        assert os.listdir(name) == ["root"]


# Names, links and devices

UNSAFE = {
    "../x": "leave the folder",
    "a/../../x": "leave the folder",
    "a/..": "leave the folder",
    "/etc/x": "leave the folder",
    "//x": "leave the folder",
    "C:/x": "leave the folder",
    "c:x": "leave the folder",
    "..\\x": "backslash",
    "a\\b": "backslash",
    "a\nb": "control character",
    "a\x7f": "control character",
    "x" * 256: "too long a name",
    "x/" * 500 + "x": "too long a name",
    ".": "without a name",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", UNSAFE)
def test_no_unsafe_name(tmp_path: Path, kind: str, name: str) -> None:
    refused(tmp_path, FORMATS[kind]([("good", b"1"), (name, b"2")]), ascii(name)[:100], UNSAFE[name], "not safe to unpack")


def test_no_zero_byte_in_a_name(tmp_path: Path) -> None:
    refused(tmp_path, as_zip([("a.csvX.exe", b"1")]).replace(b"X.exe", b"\0.exe"), "control character")


COLLIDING = [("a", "a"), ("a", "./a"), ("a/b", "a//b"), ("a", "A"), ("é", "e\u0301"), ("straße", "STRASSE")]
COLLIDING += [("a", "a/b"), ("a/b", "a"), ("a/", "a"), ("Sub/1", "sub/2")]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", COLLIDING, ids=ascii)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_no_two_members_in_one_place(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    refused(tmp_path, FORMATS[kind]([(name, b"") for name in names]), "collides with")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["good", "../outside", "/etc/passwd"])
def test_no_links_and_devices_in_tar(tmp_path: Path, kind: bytes, target: str) -> None:
    packed = io.BytesIO()
    with tarfile.TarFile(fileobj=packed, mode="w") as pack:
        pack.addfile(tarfile.TarInfo("good"))
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, target
        pack.addfile(info)
        pack.addfile(tarfile.TarInfo("odd/through"))
    refused(tmp_path, packed.getvalue(), "'odd'", "is no plain file or folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_no_links_and_devices_in_zip(tmp_path: Path, kind: int) -> None:
    packed, info = io.BytesIO(), zipfile.ZipInfo("odd")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(packed, "w") as pack:
        pack.writestr("good", b"1")
        pack.writestr(info, b"../outside")
    refused(tmp_path, packed.getvalue(), "'odd'", "is no plain file or folder")


def test_no_sparse_files(tmp_path: Path) -> None:
    """A map of holes can promise a terabyte in a block, or send tarfile round for ever."""
    block = bytearray(tarfile.TarInfo("holes").tobuf(tarfile.GNU_FORMAT))
    block[156:157] = tarfile.GNUTYPE_SPARSE
    block[483:495] = b"%011o\0" % (1 << 32)
    block[148:156] = b"%06o\0 " % (256 + sum(block[:148]) + sum(block[156:512]))
    refused(tmp_path, bytes(block) + bytes(1024), "'holes'", "sparse")


# Bombs


@pytest.mark.parametrize("kind", FORMATS)
def test_no_more_comes_out_than_is_safe(tmp_path: Path, kind: str) -> None:
    packed = FORMATS[kind]([("zeros", bytes(2_000_000))])
    (tmp_path / "bad").mkdir()
    refused(tmp_path / "bad", packed, "more bytes than is safe", at_least=1_999_999, ratio=0)
    for limits in ({"at_least": 2_020_000, "ratio": 0}, {"at_least": 0, "ratio": 2_020_000 / len(packed)}):
        unpack(written(tmp_path, packed), tmp_path / f"good{limits['at_least']}", **limits)


def test_the_size_is_counted_not_believed(tmp_path: Path) -> None:
    """Both headers of the member say 10 bytes."""
    packed = as_zip([("zeros", bytes(1_000_000))]).replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10))
    refused(tmp_path, packed, "'zeros'", "damaged")
    packed = as_zip([("zeros", bytes(10))]).replace(struct.pack("<II", 12, 10)[4:], struct.pack("<I", 11))
    refused(tmp_path, packed, "'zeros'", "damaged")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_are_counted_with_their_folders(tmp_path: Path, kind: str) -> None:
    packed = FORMATS[kind]([("a/b/c/1", b""), ("a/b/c/2", b"")])
    (tmp_path / "bad").mkdir()
    refused(tmp_path / "bad", packed, "more members than is safe", members=4)
    unpack(written(tmp_path, packed), tmp_path / "good", members=5)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_of_tar_are_small(tmp_path: Path, kind: bytes) -> None:
    """tarfile reads a header into memory at once."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 20 << 20
    packed = as_tar([("good", b"1")])[:1024] + info.tobuf() + bytes(info.size)
    refused(tmp_path, gzip.compress(packed, 1), "after member 'good'", "a header of 20971520 bytes")


@pytest.mark.parametrize(("kind", "most"), [("bz2.zip", 4096), ("lzma.zip", 4096), ("zip", 1 << 20)])
def test_zip_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, most: int) -> None:
    """Of bzip2 and LZMA, zipfile lets all that it reads at once out into memory."""
    sizes, real = set(), zipfile.ZipExtFile.read

    def read(self: zipfile.ZipExtFile, size: int = -1) -> bytes:
        sizes.add(size)
        return real(self, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    unpack(written(tmp_path, FORMATS[kind](CONTENT)), tmp_path / "into")
    assert sizes == {most}


# Damage


def whole_or_nothing(folder: Path, packed: bytes, kind: str) -> bool:
    """Whether all came out; else nothing did."""
    archive = written(folder, packed)
    try:
        into = unpack(archive, folder / "into")
    except DataError as problem:
        assert (str(archive) in str(problem), os.listdir(folder)) == (True, ["archive"])  # noqa: PT017
        return False
    found = inside(into)
    shutil.rmtree(into)
    assert found == expected(CONTENT[:3]), kind
    return True


@pytest.mark.parametrize("kind", ["zip", "bz2.zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_that_was_cut_off(tmp_path: Path, kind: str) -> None:
    packed = FORMATS[kind](CONTENT[:3])
    whole = [end for end in range(0, len(packed), len(packed) // 60) if whole_or_nothing(tmp_path, packed[:end], kind)]
    # A tar is whole once its first block of zeros is there.
    assert min(whole, default=len(packed)) >= len(packed.rstrip(b"\0")) + (512 if kind == "tar" else 0)
    assert whole_or_nothing(tmp_path, packed, kind)


@pytest.mark.parametrize("kind", ["zip", "bz2.zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_with_a_wrong_bit(tmp_path: Path, kind: str) -> None:
    """Some bits mean nothing to us (times, modes): then all comes out."""
    packed = FORMATS[kind](CONTENT[:3])
    came_out = 0
    for at in range(0, len(packed), max(1, len(packed) // 80)):
        broken = bytearray(packed)
        broken[at] ^= 1 << at % 8
        came_out += whole_or_nothing(tmp_path, bytes(broken), kind)
    assert came_out < 40


def test_what_tarfile_would_leave_out_silently(tmp_path: Path) -> None:
    one, two = as_tar([("one", b"1")]), as_tar([("two", b"2")])
    refused(tmp_path, one + two, "after member 'one'", "more behind its end")
    refused(tmp_path, one[:1024] + b"x" * 512 + one[1024:], "after member 'one'", "the end is missing")
    refused(tmp_path, one[:1024], "after member 'one'", "the end is missing")
    negative = bytearray(tarfile.TarInfo("back").tobuf(tarfile.GNU_FORMAT))
    negative[124:136] = tarfile.itn(-1024, 12, tarfile.GNU_FORMAT)
    negative[148:156] = b"%06o\0 " % (256 + sum(negative[:148]) + sum(negative[156:512]))
    refused(tmp_path, one[:1024] + bytes(negative) + bytes(1024), "damaged")


def test_checksums_and_encryption_of_zip(tmp_path: Path) -> None:
    packed = as_zip([("a.csv", b"content")], zipfile.ZIP_STORED)
    refused(tmp_path, packed.replace(b"content", b"c0ntent"), "member 'a.csv', is damaged", "Bad CRC-32", "download it again")
    at = packed.index(b"PK\1\2")
    locked = packed[:6] + b"\1" + packed[7 : at + 8] + b"\1" + packed[at + 9 :]
    refused(tmp_path, locked, "'a.csv'", "is encrypted", "with its password")
    unknown = packed[:8] + b"\x63" + packed[9 : at + 10] + b"\x63" + packed[at + 11 :]
    refused(tmp_path, unknown, "member 'a.csv', is damaged", "compression method is not supported")


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (b"", "no zip or tar archive"),
        (b"time,x\n1,2\n" * 100, "no zip or tar archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "no zip or tar archive"),
        (gzip.compress(b"time,x\n" * 200), "no tar archive inside"),
        (bz2.compress(b"short"), "damaged"),
        (as_zip([]), "holds no files"),
        (as_tar([("only/", b"")]), "holds no files"),
    ],
    ids=["empty", "text", "7z", "gz", "bz2", "zip of nothing", "tar of folders"],
)
def test_what_is_no_archive(tmp_path: Path, packed: bytes, says: str) -> None:
    refused(tmp_path, packed, says)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "missing.zip", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=f"^{path} cannot be read: {says}"):
            unpack(path, tmp_path / "into")


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_what_a_fuzzer_found(tmp_path: Path, path: Path) -> None:
    assert path.stat().st_size < 2000
    assert f"`{path.name}`" in (CORPUS / "README.md").read_text()
    refused(tmp_path, path.read_bytes())


def test_names_of_archives() -> None:
    names = {"a.tar.gz": "a", "A.TGZ": "A", "b.c.zip": "b.c", ".zip": ".zip", "plain": "plain", "x.csv.gz": "x.csv.gz"}
    assert {name: stem(name) for name in names} == names
    assert [is_archive(Path(name)) for name in ("a.tar.xz", "B.ZIP", "zip", "x.csv.gz")] == [True, True, False, False]
