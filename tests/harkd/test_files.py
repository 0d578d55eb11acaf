"""Files and folders that are there as a whole or not at all, and folders that one process holds."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harkd import files
from harkd.errors import HarkdError
from harkd.files import UNFINISHED, held, new_folder, write_atomically

FULL = OSError(errno.ENOSPC, "No space left on device")


def spawn(code: str, *words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True)


# Files


def test_a_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    for content in (b"one", b"", b"three" * 100_000):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["open", "fsync", "replace"])
@pytest.mark.parametrize("problem", [FULL, KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, problem: BaseException
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*args: Any, **more: Any) -> None:
        raise problem

    monkeypatch.setattr(*((Path, "open") if where == "open" else (os, where)), fail)
    wanted = KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else HarkdError
    with pytest.raises(wanted, match=f"^cannot write {path}: No space left on device$" if wanted is HarkdError else None):
        write_atomically(path, b"new content")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    was = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"")
        with new_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(was)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


# Folders


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with new_folder(path) as place:
        (place / "inner").mkdir()
        (place / "inner" / "file").write_bytes(b"content")
        assert place.parent == path.parent
        assert place.name.startswith(".folder-")
        assert place.name.endswith(UNFINISHED)
        assert not path.exists()
    assert (path / "inner" / "file").read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_all_of_a_folder_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(place: int) -> None:
        assert not (tmp_path / "folder").exists()
        synced.append(os.readlink(f"/proc/self/fd/{place}").split(UNFINISHED)[1])

    monkeypatch.setattr(os, "fsync", fsync)
    with new_folder(tmp_path / "folder") as place:
        (place / "inner").mkdir()
        (place / "inner" / "file").touch()
    assert sorted(synced) == ["", "/inner", "/inner/file"]


def test_many_files_are_brought_to_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append((tmp_path / "folder").exists()))
    monkeypatch.setattr(os, "fsync", None)
    with new_folder(tmp_path / "folder") as place:
        for number in range(64):
            (place / str(number)).touch()
    assert synced == [False]


@pytest.mark.parametrize("problem", [FULL, KeyboardInterrupt(), ValueError("no")], ids=["full", "Ctrl-C", "other"])
@pytest.mark.parametrize("where", ["block", "fsync", "rename"])
def test_a_failing_folder_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException, where: str
) -> None:
    def fail(*args: Any) -> None:
        raise problem

    if where != "block":
        monkeypatch.setattr(os, where, fail)

    def make() -> None:
        with new_folder(tmp_path / "folder") as place:
            (place / "file").touch()
            if where == "block":
                fail()

    if problem is FULL:
        with pytest.raises(HarkdError, match=f"^cannot write {tmp_path}/folder: No space left on device$"):
            make()
    else:
        with pytest.raises(type(problem)):
            make()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_new_folder_replaces_nothing(tmp_path: Path, kind: str) -> None:
    make: dict[str, Callable[[Path], Any]] = {
        "file": Path.touch,
        "folder": Path.mkdir,
        "link": lambda path: path.symlink_to("nowhere"),
    }
    make[kind](tmp_path / "taken")
    message = f"^cannot make the folder {tmp_path}/taken: there is something of that name already"
    with pytest.raises(HarkdError, match=message), new_folder(tmp_path / "taken"):
        raise AssertionError("begun")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_name_that_was_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def make() -> None:
        with new_folder(tmp_path / "folder"):
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "theirs").touch()

    with pytest.raises(HarkdError, match=r"cannot write .*: Directory not empty"):
        make()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "theirs"]


# Folders that are held


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    waits: list[int] = []

    def wait() -> None:
        waits.append(len(waits))
        if len(waits) == 3:
            raise TimeoutError

    with held(tmp_path / "run", wait):
        with pytest.raises(TimeoutError), held(tmp_path / "run", wait):
            raise AssertionError("held by two")
        assert waits == [0, 1, 2]
        with held(tmp_path / "other", wait):
            pass
    with held(tmp_path / "run", wait):
        assert waits == [0, 1, 2]


def test_a_killed_process_holds_nothing_and_is_swept_up(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from harkd.files import held, new_folder
with held(Path(sys.argv[1]), lambda: None), new_folder(Path(sys.argv[1]) / "inner") as place:
    (place / "file").touch()
    print("held", flush=True)
    time.sleep(60)
"""
    process = spawn(code, tmp_path)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TimeoutError), held(tmp_path, fail_waiting):
            raise AssertionError("held by two processes")
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(UNFINISHED)
    with held(tmp_path, fail_waiting):
        assert list(tmp_path.iterdir()) == []


def fail_waiting() -> None:
    raise TimeoutError


def test_only_what_was_left_unfinished_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    for name in (f".last.safetensors-0123{UNFINISHED}", f"..{UNFINISHED}", "last.safetensors", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / f".folder-0123{UNFINISHED}" / "inner").mkdir(parents=True)
    (tmp_path / f".link-0123{UNFINISHED}").symlink_to("elsewhere")
    with held(tmp_path, fail_waiting):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "elsewhere", "last.safetensors"]
        assert (tmp_path / "elsewhere" / "kept").exists()


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(HarkdError, match=f"^cannot make the folder {place}: "), held(place, fail_waiting):
            pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(place: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with held(tmp_path / "folder", fail_waiting):
        assert (tmp_path / "folder").is_dir()
