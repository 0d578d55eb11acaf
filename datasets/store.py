"""Where data sets are kept on this machine, and how they get there.

    <cache>/data/<name>/          the files that a card's downloads name, and their archives unpacked
    <cache>/unpacked/<name>-...   archives that were read from elsewhere

The cache is `$HARKD_CACHE`, or the user's cache folder of the platform. Anything in it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from harkd.datasets.archives import stem, unpack
from harkd.datasets.download import Download, Progress, Resuming, sha256_of
from harkd.errors import DataError, HarkdError, UsageError
from harkd.files import held, write_atomically

COMING = ".coming"
"""The folder of downloads that are not whole yet."""
RECORD = ".fetched.json"
"""What was fetched: checksums, with the size and time of the file that they hold for."""
_ENDS = 1 << 16

Records = dict[str, dict[str, Any]]


def cache_folder() -> Path:
    """Where harkd keeps data: `$HARKD_CACHE`, else the user's cache folder (on Linux `~/.cache/harkd`)."""
    told = os.environ.get("HARKD_CACHE")
    return Path(told).expanduser().absolute() if told else Path(platformdirs.user_cache_dir("harkd", appauthor=False))


def unpacked(archive: Path) -> Path:
    """The folder with an archive's content, unpacked at the first call and found again later, by any process.

    The archive counts as the same while its name, size, time of change and both ends (64 kB each) are.

    Raises:
        DataError: as `harkd.datasets.archives.unpack`.
        HarkdError: the cache cannot be written.
    """
    beside = cache_folder() / "unpacked"
    folder = beside / f"{_safe(stem(archive.name))}-{_key(archive)}"
    if not folder.is_dir():
        with _held(beside, f"unpacks {archive.name}"):
            if not folder.is_dir():  # another process may have been faster
                unpack(archive, folder)
    return folder


def fetch(downloads: Sequence[Download], name: str, progress: Progress | None = None) -> Path:
    """The folder `<cache>/data/<name>` with all these files, whole and with the right checksums; what is missing is downloaded.

    A file that is there already, put by hand, is taken if its checksum is right. Archives with `unpack` are unpacked beside into
    a folder of their name without `.zip` or `.tar.gz` and stay. An interrupted download goes on at the next call. Files appear
    under their name when they are whole; nothing that has a name there is ever overwritten or deleted.

    Args:
        progress: told the bytes that came and those expected of each file; by default a bar on stderr, if that is a terminal.

    Raises:
        UsageError: the name is unsafe, or two downloads want the same place.
        DataError: a file cannot be had, or is not what it should be; the message says what was found and where to put it by hand.
        HarkdError: the cache cannot be written.
    """
    if _safe(name) != name:
        raise UsageError(f"{name!r} cannot be the name of a data folder: letters, digits, '.', '-' and '_' only")
    _check_places(downloads, name)
    folder = cache_folder() / "data" / name
    if _complete(downloads, folder):
        return folder
    with _held(folder, f"fetches {name}"):
        records = _records(folder)
        for download in downloads:
            path = folder / download.file
            if not os.path.lexists(path):
                _download(download, folder, progress)
            _check(download, path, records)
            write_atomically(folder / RECORD, json.dumps(records, indent=1).encode())
            if download.unpack:
                _unpack(download, folder, records)
        shutil.rmtree(folder / COMING, ignore_errors=True)
    return folder


def _download(download: Download, folder: Path, progress: Progress | None) -> None:
    """Bring a file to its place by way of the folder `COMING`, which keeps what came if this is interrupted."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would tell of temporary places
    path, coming = folder / download.file, folder / COMING / download.file
    coming.parent.mkdir(parents=True, exist_ok=True)
    for left in coming.parent.glob("tmp*"):  # pooch's, of a process that was killed
        left.unlink()
    with _shown(download, progress) as told:
        getter = Resuming(coming.with_name(f"{coming.name}.part"), path, download.sha256, told)
        pooch.retrieve(download.url, download.sha256 or None, coming.name, coming.parent, downloader=getter)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(coming, path)


def _check(download: Download, path: Path, records: Records) -> None:
    record = records.setdefault(download.file, {})
    if not path.is_file():
        raise DataError(f"{path} is not a file, but {download.url} belongs there: move it away")
    if not _unchanged(path, record):
        about = path.stat()
        record.update(sha256=sha256_of(path), size=about.st_size, mtime_ns=about.st_mtime_ns)
    if download.sha256 and record["sha256"] != download.sha256:
        raise DataError(
            f"{path} has the SHA-256 {record['sha256']}, expected {download.sha256}: it is damaged or another version; "
            f"move it away to download {download.url} again"
        )


def _unpack(download: Download, folder: Path, records: Records) -> None:
    path, target, record = folder / download.file, _target(folder, download), records[download.file]
    if os.path.lexists(target):
        if record.get("unpacked") != record["sha256"]:
            raise DataError(
                f"{target} was not unpacked from this {path.name}: move it away, so that the archive can be unpacked there"
            )
        return
    # Told first: a folder without a record would be a stranger's, a record without a folder is only done again.
    record["unpacked"] = record["sha256"]
    write_atomically(folder / RECORD, json.dumps(records, indent=1).encode())
    unpack(path, target)


def _complete(downloads: Sequence[Download], folder: Path) -> bool:
    """Whether all is there, told without a lock: a cache that is shared and read-only is enough."""
    records = _records(folder)
    for download in downloads:
        record = records.get(download.file, {})
        if not _unchanged(folder / download.file, record) or download.sha256 not in ("", record["sha256"]):
            return False
        if download.unpack and not (record.get("unpacked") == record["sha256"] and _target(folder, download).is_dir()):
            return False
    return folder.is_dir()


def _records(folder: Path) -> Records:
    try:
        found = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # the files speak for themselves, they are only read once more
    return {key: record for key, record in found.items() if isinstance(record, dict)} if isinstance(found, dict) else {}


def _unchanged(path: Path, record: dict[str, Any]) -> bool:
    if not path.is_file() or not isinstance(record.get("sha256"), str):
        return False
    about = path.stat()
    return (about.st_size, about.st_mtime_ns) == (record.get("size"), record.get("mtime_ns"))


def _target(folder: Path, download: Download) -> Path:
    """Where an archive is unpacked."""
    path = folder / download.file
    name = stem(path.name)
    return path.with_name(name if name != path.name else f"{name}-unpacked")


def _check_places(downloads: Sequence[Download], name: str) -> None:
    places: set[str] = set()
    for download in downloads:
        for place in [download.file, *([_target(Path(), download).as_posix()] if download.unpack else [])]:
            if place.casefold() in places:
                raise UsageError(f"{name}: two downloads want to be {place!r}; give one another 'file'")
            places.add(place.casefold())


@contextmanager
def _held(folder: Path, does: str) -> Iterator[None]:
    """Hold a folder of the cache, and say what can be done if it cannot be written."""
    try:
        with held(folder, _waiting(does)):
            yield
    except DataError:
        raise
    except (OSError, HarkdError) as problem:
        what = f"cannot write {folder}: {problem.strerror or problem}" if isinstance(problem, OSError) else str(problem)
        raise HarkdError(f"{what}; make room there, or set HARKD_CACHE to another folder") from None


def _waiting(does: str) -> Callable[[], None]:
    told = False

    def wait() -> None:
        nonlocal told
        if not told:
            print(f"another process {does}: waiting for it", file=sys.stderr, flush=True)
        told = True
        time.sleep(0.2)

    return wait


@contextmanager
def _shown(download: Download, progress: Progress | None) -> Iterator[Progress]:
    """What to tell of the progress: the caller, or else a bar on a terminal."""
    if progress is not None:
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    print(f"downloading {download.url}", file=sys.stderr, flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda came, total: bars.update(task, completed=came, total=total or None)


def _safe(name: str) -> str:
    """A name that is one plain part of a path."""
    return re.sub(r"[^\w.-]", "_", name)[:100].lstrip(".") or "_"


def _key(archive: Path) -> str:
    """What an archive is known by. Reading gigabytes anew each time for a checksum of all would take longer than the data."""
    try:
        with archive.open("rb") as file:
            about = os.fstat(file.fileno())
            head = file.read(_ENDS)
            file.seek(max(0, about.st_size - _ENDS))
            tail = file.read(_ENDS)
    except OSError as problem:
        raise DataError(f"{archive} cannot be read: {problem.strerror}") from None
    return hashlib.sha256(f"{about.st_size} {about.st_mtime_ns} ".encode() + head + tail).hexdigest()[:16]
