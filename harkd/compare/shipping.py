"""Run directories on their way from one machine to another: the bytes of their files by name."""

from __future__ import annotations

import shutil
from pathlib import Path

from harkd.errors import HarkdError
from harkd.files import new_folder

Files = dict[str, bytes]


def pack(folder: Path) -> Files:
    """The files of a finished run's directory, which has no folders inside; what is not in its place yet stays behind.

    Raises:
        HarkdError: a file cannot be read.
    """
    try:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."}
    except OSError as problem:
        raise HarkdError(f"cannot read the run in {folder}: {problem.strerror or problem}") from None


def unpack(files: Files, folder: Path) -> None:
    """Make a run's directory of its files, whole or not at all. An unfinished run that is there gives way.

    Raises:
        HarkdError: a file would lie outside the folder, or it cannot be written.
    """
    for name in files:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise HarkdError(
                f"a run came back with a file named {name!r}, which does not belong into {folder}: nothing was written"
            )
    shutil.rmtree(folder, ignore_errors=True)
    with new_folder(folder) as place:
        for name, content in files.items():
            (place / name).write_bytes(content)
