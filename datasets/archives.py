"""Unpacking archives that strangers made: no member leaves the folder, nothing is left out silently, nothing fills the disk.

Zip, and tar plain or packed with gzip, bzip2 or xz; which it is says the content, not the name. Members arrive as plain files and
folders: modes, owners and times are not taken over. Only the resource forks that macOS adds are skipped: `__MACOSX` and `._name`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harkd.errors import DataError
from harkd.files import new_folder

SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip")
AT_LEAST = 4_000_000_000
"""Bytes that any archive may unpack to."""
RATIO = 50.0
"""A larger archive may unpack to this many times its own size. Text and numbers reach 5 to 20."""
MEMBERS = 1_000_000
"""Files and folders that an archive may hold."""

_BLOCK = 1 << 20
_HEADER = 1 << 20  # of a tar: names are short, and tarfile reads a whole header into memory
_LONGEST = 1000  # bytes of a member's name
_MAGIC = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@dataclass(frozen=True)
class _Member:
    name: str
    folder: bool
    read: Callable[[int], bytes]


@dataclass
class _Budget:
    """Counts what really comes out: headers lie."""

    archive: Path
    bytes: float
    members: int

    def take(self, number: int, members: int = 0) -> None:
        self.bytes -= number
        self.members -= members
        if self.bytes < 0 or self.members < 0:
            what = "bytes" if self.bytes < 0 else "members"
            raise DataError(f"{self.archive}: unpacks to more {what} than is safe; unpack it by hand if you trust it")


def unpack(archive: Path, into: Path, *, at_least: int = AT_LEAST, ratio: float = RATIO, members: int = MEMBERS) -> Path:
    """Unpack an archive into a new folder, which appears when all is unpacked.

    A killed unpacking leaves a hidden folder beside (`harkd.files.held` sweeps it up), never a part under the name `into`.

    Args:
        at_least: bytes that may come out of any archive.
        ratio: bytes that may come out, per byte of the archive; the larger of both limits holds.
        members: files and folders that may come out.

    Returns:
        `into`.

    Raises:
        DataError: the archive is damaged, encrypted or none of the formats, a member has an unsafe name (absolute, `..`, a drive,
            a backslash, a control character), is a link or device, or collides with another (in case or Unicode form
            too), or too much comes out. It names the member. Nothing is left.
        HarkdError: the folder exists already, or cannot be written.
    """
    with _opened(archive) as file:
        budget = _Budget(archive, max(at_least, ratio * os.fstat(file.fileno()).st_size), members)
    names = _Names(archive, budget)
    with new_folder(into) as place:
        files = 0
        for member in _members(archive, budget):
            budget.take(0, members=1)
            parts = names.take(member.name, member.folder)
            if "__MACOSX" in parts or (parts and parts[-1].startswith("._")):
                continue
            target = place.joinpath(*parts)
            (target if member.folder else target.parent).mkdir(parents=True, exist_ok=True)
            if member.folder:
                member.read(_BLOCK)  # nothing, but a zip says its name a second time there
            else:
                files += 1
                with target.open("xb") as file:
                    while block := member.read(_BLOCK):
                        file.write(block)
        if not files:
            raise DataError(f"{archive}: holds no files")
    return into


def stem(name: str) -> str:
    """The name of an archive without what says its format.

    >>> stem("raw.v2.tar.gz"), stem("data.ZIP"), stem("table.csv")
    ('raw.v2', 'data', 'table.csv')
    """
    return next((name[: -len(end)] for end in SUFFIXES if name.lower().endswith(end) and len(name) > len(end)), name)


def is_archive(path: Path) -> bool:
    """Whether the name of a file says that `unpack` reads it."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass
class _Names:
    """The names in an archive, each checked against all before it."""

    archive: Path
    budget: _Budget
    _seen: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def take(self, name: str, folder: bool) -> tuple[str, ...]:
        """The parts of a member's path inside the folder."""

        def refuse(why: str) -> DataError:
            return DataError(f"{self.archive}: member {_shown(name)} {why}; the archive is not safe to unpack")

        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts:
            raise refuse("would leave the folder")
        if "\\" in name:
            raise refuse("has a backslash in its name")
        if any(unicodedata.category(mark) == "Cc" for mark in name):
            raise refuse("has a control character in its name")
        try:
            lengths = [len(os.fsencode(part)) for part in parts]
        except UnicodeEncodeError:
            raise refuse("has a name that this system cannot write") from None
        if sum(lengths) + len(lengths) > _LONGEST or max(lengths, default=0) > 255:
            raise refuse("has too long a name")
        if not parts and not folder:
            raise refuse("is a file without a name")
        for end in range(1, len(parts) + 1):
            path, last = "/".join(parts[:end]), end == len(parts)
            is_folder = folder or not last
            # macOS and Windows tell neither case nor Unicode form apart: one would overwrite the other.
            key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
            other, was_folder = self._seen.get(key, (path, is_folder))
            if other != path or was_folder != is_folder or (key in self._seen and not is_folder):
                raise refuse(f"collides with {_shown(other)}")
            if key not in self._seen:
                self._seen[key] = path, is_folder
                self.budget.take(0, members=0 if last else 1)
        return parts


def _members(archive: Path, budget: _Budget) -> Iterator[_Member]:
    """What an archive holds. Whatever the standard library raises on damaged bytes becomes a `DataError`."""
    last = ""
    try:
        with _opened(archive) as file:
            magic = file.read(6)
            file.seek(0)
            zipped = magic.startswith((b"PK\3\4", b"PK\5\6"))
            for member in _zipped(archive, file, budget) if zipped else _tarred(archive, file, magic, budget):
                last = member.name
                yield _Member(member.name, member.folder, _guarded(archive, member))
    except DataError:
        raise
    except Exception as problem:
        raise _damaged(archive, last, problem, "after ") from None


def _guarded(archive: Path, member: _Member) -> Callable[[int], bytes]:
    def read(size: int) -> bytes:
        try:
            return member.read(size)
        except DataError:
            raise
        except Exception as problem:
            raise _damaged(archive, member.name, problem) from None

    return read


def _damaged(archive: Path, member: str, problem: Exception, where: str = "") -> DataError:
    at = f", {where}member {_shown(member)}," if member else ""
    why = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
    return DataError(f"{archive}{at} is damaged or incomplete ({why or type(problem).__name__}): download it again")


def _zipped(archive: Path, file: IO[bytes], budget: _Budget) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as pack:
        listed = pack.infolist()
        file.seek(-min(22 + 0xFFFF, file.seek(0, os.SEEK_END)), os.SEEK_END)
        end = file.read()
        count = int.from_bytes(end[end.rindex(b"PK\5\6") + 10 :][:2], "little")
        # In a damaged list, one entry's comment may swallow the next. Past 65535 members this count does not tell.
        if count not in (len(listed) & 0xFFFF, 0xFFFF) or any(b"PK\1\2" in info.extra + info.comment for info in listed):
            raise ValueError(f"it lists {len(listed)} members instead of {count}")
        for info in listed:
            # orig_filename: ZipFile cuts names at a zero byte.
            name, mode = info.orig_filename, info.external_attr >> 16
            folder = info.is_dir()
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR if folder else 0):
                raise DataError(f"{archive}: member {_shown(name)} is no plain file or folder; the archive is not safe to unpack")
            if info.flag_bits & 1:
                raise DataError(f"{archive}: member {_shown(name)} is encrypted: unpack it by hand, with its password")
            if folder and info.file_size:
                raise DataError(f"{archive}: the folder {_shown(name)} has content; the archive is not safe to unpack")
            yield _Member(name, folder, _content(pack, info, budget))


def _content(pack: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> Callable[[int], bytes]:
    came, content = 0, None
    # Of other compressions than these, ZipExtFile takes in as much as it is asked for and lets all of it out into memory.
    most = _BLOCK if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else 4096

    def read(size: int) -> bytes:
        nonlocal came, content
        content = content or pack.open(info)
        block = content.read(min(size, most))
        came += len(block)
        budget.take(len(block))
        if not block and came != info.file_size:
            raise ValueError(f"it has {came} bytes instead of {info.file_size}")
        return block

    return read


def _tarred(archive: Path, file: IO[bytes], magic: bytes, budget: _Budget) -> Iterator[_Member]:
    opened: Any = next((opener for begin, opener in _MAGIC.items() if magic.startswith(begin)), None)
    stream = _Stream(opened(file) if opened else file, budget)
    try:
        pack = tarfile.TarFile(fileobj=stream)  # type: ignore[arg-type]  # it reads, seeks and tells
    except tarfile.ReadError as problem:
        if opened and stream.tell() >= tarfile.BLOCKSIZE:
            raise DataError(f"{archive}: there is no tar archive inside ({problem})") from None
        if opened:
            raise
        raise DataError(f"{archive}: is no zip or tar archive, or it is damaged") from None
    with pack:
        for info in pack:
            if not (info.isreg() or info.isdir()) or info.issparse():
                kind = "sparse" if info.issparse() else "no plain file or folder"
                raise DataError(f"{archive}: member {_shown(info.name)} is {kind}; the archive is not safe to unpack")
            content = pack.extractfile(info)
            yield _Member(info.name, info.isdir(), content.read if content else lambda size: b"")
    # tarfile takes a damaged header, a missing end and a second archive behind the first for the end.
    if stream.last != bytes(tarfile.BLOCKSIZE):
        raise ValueError("the end is missing")
    while block := stream.read(_HEADER):
        if block.strip(b"\0"):
            raise ValueError("there is more behind its end")


class _Stream:
    """The bytes of a tar, read once from front to back; seeking forward reads. Counts all that comes out of the compression."""

    def __init__(self, source: IO[bytes], budget: _Budget) -> None:
        self.source, self.budget, self.last, self._at = source, budget, b"", 0

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER:
            raise ValueError(f"a header of {size} bytes")
        self.last = self.source.read(size)
        self._at += len(self.last)
        self.budget.take(len(self.last))
        return self.last

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> int:
        if position < self._at:
            raise ValueError("its members overlap")
        while self._at < position and self.read(min(_HEADER, position - self._at)):
            pass
        return self._at


def _opened(archive: Path) -> IO[bytes]:
    try:
        return archive.open("rb")
    except OSError as problem:
        raise DataError(f"{archive} cannot be read: {problem.strerror}") from None


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 120 else f"{name[:117]}...")
