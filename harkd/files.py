"""Files and folders that are there as a whole or not at all, and folders that are held against other processes.

Everything in harkd that writes goes through here: what is not in its place yet has a name that ends in `UNFINISHED`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harkd.errors import HarkdError

UNFINISHED = "-being-written"
"""How the names of files and folders end that are not in their place yet."""
_MANY = 64  # files, for which one sync of everything is faster than one of each


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it: a reader sees the old content or the new, never a part.

    Raises:
        HarkdError: it cannot be written; the old content stays.
    """
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as problem:
        raise HarkdError(f"cannot write {path}: {problem.strerror or problem}") from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside its place; it is renamed when the block ends, and removed if the block fails.

    Yields:
        The folder to fill, empty. An `OSError` of the block counts as one of writing.

    Raises:
        HarkdError: there is something at `path` already, or it cannot be written.
    """
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            raise HarkdError(f"cannot make the folder {path}: there is something of that name already; choose another or move it")
        beside.mkdir()
        try:
            yield beside
            _sync(beside)
            os.rename(beside, path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as problem:
        raise HarkdError(f"cannot write {path}: {problem.strerror or problem}") from None


@contextmanager
def held(folder: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Make a folder, and keep other processes of harkd out of it: two students may ask for one teacher at the same time.

    What a killed process left unfinished directly inside the folder is removed.

    Args:
        wait: called every now and then while another process has the folder; it sleeps, or raises to give up.

    Raises:
        HarkdError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as problem:
        raise HarkdError(f"cannot make the folder {folder}: {problem.strerror}") from None
    try:
        while True:
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wait()
            except OSError:
                break  # a file system without locks
            else:
                break
        for path in folder.glob(f".*{UNFINISHED}"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):  # a read-only file system: it does no harm
                    path.unlink(missing_ok=True)
        yield
    finally:
        os.close(place)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}-{secrets.token_hex(4)}{UNFINISHED}")


def _sync(folder: Path) -> None:
    """Bring a folder's content to the disk: after a power cut the renamed folder must not hold empty files."""
    places = [os.path.join(root, name) for root, _, files in os.walk(folder) for name in (*files, ".")]
    if len(places) > _MANY:
        os.sync()
        return
    for path in places:
        place = os.open(path, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
