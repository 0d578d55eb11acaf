"""The store when others are at it: several processes, killed ones, full and read-only disks; archives that are unpacked once."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harkd.datasets import store
from harkd.datasets.archives import unpack
from harkd.datasets.download import Download
from harkd.datasets.store import COMING, RECORD, fetch, unpacked
from harkd.errors import DataError, HarkdError
from harkd.files import UNFINISHED, held

FULL = r"^cannot write .*: No space left on device; make room there, or set HARKD_CACHE to another folder$"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 1 MB; where none can be mounted, writing a large file pretends it."""
    disk, real = tmp_path / "disk", Path.open
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield disk
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        return

    def opened(path: Path, mode: str = "r", *more: Any) -> Any:
        if mode == "xb" and disk in path.parents and path.name.startswith("large"):
            raise OSError(28, "No space left on device")
        return real(path, mode, *more)

    monkeypatch.setattr(Path, "open", opened)
    yield disk


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return path


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def until(path: Path, pattern: str, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 60
    while not any(path.glob(pattern)):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.001)


def harkd(code: str, *words: object) -> "subprocess.Popen[str]":
    """A process that does something with the store. It goes without the front of harkd.datasets, which brings torch along."""
    imports = f"""
import sys, types
package = sys.modules["harkd.datasets"] = types.ModuleType("harkd.datasets")
package.__path__ = [{str(Path(store.__file__).parent)!r}]
from pathlib import Path
from harkd.datasets.download import Download
from harkd.datasets.store import fetch, unpacked
"""
    command = [sys.executable, "-c", imports + code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# Archives from elsewhere


def test_an_archive_is_unpacked_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "My set.tar.zip", a=b"1")
    folder = unpacked(archive)
    assert folder.parent == cache / "unpacked"
    assert re.fullmatch(r"My_set\.tar-[0-9a-f]{16}", folder.name)
    assert (folder / "a").read_bytes() == b"1"
    with monkeypatch.context() as patch:
        patch.setattr(store, "unpack", None)
        patch.setattr(store, "held", None)  # a cache that is shared and read-only is enough
        assert unpacked(archive) == folder
    other = unpacked(zipped(tmp_path / "My set.tar.zip", a=b"2"))
    assert other != folder
    assert ((other / "a").read_bytes(), (folder / "a").read_bytes()) == (b"2", b"1")


def test_a_damaged_archive_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    archive = zipped(tmp_path / "set.zip", a=b"1")
    archive.write_bytes(archive.read_bytes()[:-1])
    for _ in range(2):
        with pytest.raises(DataError, match=r"set\.zip is damaged"):
            unpacked(archive)
        assert everything(cache) == ["unpacked"]
    with pytest.raises(DataError, match=r"missing\.zip cannot be read: No such file"):
        unpacked(tmp_path / "missing.zip")


def test_two_at_once_unpack_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """flock tells two openings of one folder apart, as it does processes."""
    archive, calls, found, both = zipped(tmp_path / "set.zip", a=b"1"), [], [], threading.Event()

    def slow(archive: Path, into: Path) -> Path:
        calls.append(into)
        assert both.wait(30)
        return unpack(archive, into)

    def waited(seconds: float) -> None:
        both.set()
        sleep(0.01)

    sleep = time.sleep
    monkeypatch.setattr(store, "unpack", slow)
    monkeypatch.setattr(store.time, "sleep", waited)
    threads = [threading.Thread(target=lambda: found.append(unpacked(archive))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert found == calls * 2
    assert capsys.readouterr().err == "another process unpacks set.zip: waiting for it\n"


# Killed processes


def test_a_killed_unpacking_leaves_nothing_that_looks_finished(tmp_path: Path, cache: Path) -> None:
    with tarfile.TarFile(tmp_path / "set.tar", "w") as pack:
        for number in range(500):
            info = tarfile.TarInfo(str(number))
            info.size = 1000
            pack.addfile(info, io.BytesIO(bytes(1000)))
    with harkd("unpacked(Path(sys.argv[1]))", tmp_path / "set.tar") as process:
        until(cache, "unpacked/.*/20", process)
        process.send_signal(signal.SIGKILL)
    (left,) = (cache / "unpacked").iterdir()
    assert left.name.endswith(UNFINISHED)
    folder = unpacked(tmp_path / "set.tar")
    assert list((cache / "unpacked").iterdir()) == [folder]
    assert everything(folder) == sorted(map(str, range(500)))


def test_a_killed_download_is_gone_on_with_by_a_process_that_waits(cache: Path) -> None:
    body, asked, rest = os.urandom(300_000), [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            begin = int((asked[-1] or "bytes=0-")[6:-1])
            self.send_response(206 if begin else 200)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - begin))
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.write(body[begin:] if begin else body[:200_000])
            self.wfile.flush()
            assert begin or rest.wait(60)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    words = (f"http://127.0.0.1:{server.server_port}/a.bin", hashlib.sha256(body).hexdigest())
    code = "print(fetch([Download(*sys.argv[1:])], 'toy'))"
    with harkd(code, *words) as first, harkd(code, *words) as second:
        until(cache, f"data/toy/{COMING}/a.bin.part", first if first.poll() is None else second)
        part, end = cache / "data" / "toy" / COMING / "a.bin.part", time.monotonic() + 30
        while part.stat().st_size < 150_000:
            assert time.monotonic() < end
            time.sleep(0.001)
        waiting = {process: process.stderr for process in (first, second)}
        told = {}
        lines = [threading.Thread(target=lambda p=p, e=e: told.update({p: e.readline()})) for p, e in waiting.items()]
        for line in lines:
            line.start()
        for line in lines:
            line.join()
        (waits,) = [process for process in told if "waiting" in told[process]]
        assert told[waits] == "another process fetches toy: waiting for it\n"
        (works,) = {first, second} - {waits}
        works.send_signal(signal.SIGKILL)
        out, _ = waits.communicate(timeout=60)
    rest.set()
    server.shutdown()
    thread.join()
    server.server_close()
    assert (out, waits.returncode) == (f"{cache / 'data' / 'toy'}\n", 0)
    assert (cache / "data" / "toy" / "a.bin").read_bytes() == body
    assert everything(cache / "data" / "toy") == [RECORD, "a.bin"]
    assert asked[0] is None
    assert re.fullmatch(r"bytes=(1[5-9]|20)\d{4}-", asked[1])
    assert len(asked) == 2


# Disks


def test_a_full_disk(tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "set.zip", small=b"1", large=bytes(2_000_000))
    with pytest.raises(HarkdError, match=f"^cannot write {small_disk}/into: No space left on device$"):
        unpack(archive, small_disk / "into")
    assert list(small_disk.iterdir()) == []
    monkeypatch.setenv("HARKD_CACHE", str(small_disk))
    with pytest.raises(HarkdError, match=FULL):
        unpacked(archive)
    assert everything(small_disk) == ["unpacked"]
    (tmp_path / "large.bin").write_bytes(bytes(2_000_000))
    wanted = Download((tmp_path / "large.bin").as_uri())
    with pytest.raises(HarkdError, match=FULL):
        fetch([wanted], "toy")
    assert not (small_disk / "data" / "toy" / "large.bin").exists()
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "elsewhere"))
    assert (fetch([wanted], "toy") / "large.bin").stat().st_size == 2_000_000


def test_a_disk_that_is_read_only(tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is enough, without a lock; what is missing cannot be written."""
    archive, reason = zipped(tmp_path / "set.zip", a=b"1"), "Read-only file system"
    (tmp_path / "b.bin").write_bytes(b"b")
    wanted = [Download(archive.as_uri(), unpack=True), Download((tmp_path / "b.bin").as_uri())]
    monkeypatch.setenv("HARKD_CACHE", str(small_disk))
    first = (unpacked(archive), fetch(wanted[:1], "toy"))
    if os.path.ismount(small_disk):
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    else:

        def fail(*args: Any, **more: Any) -> None:
            raise OSError(30, reason)

        monkeypatch.setattr(Path, "mkdir", fail)
    assert (unpacked(archive), fetch(wanted[:1], "toy")) == first
    for call in (
        lambda: fetch(wanted, "toy"),
        lambda: fetch(wanted, "new"),
        lambda: unpacked(zipped(tmp_path / "set.zip", a=b"2")),
    ):
        with pytest.raises(HarkdError, match=f"^cannot .*{small_disk}.*{reason}; make room there, or set HARKD_CACHE"):
            call()
    with pytest.raises(HarkdError, match=f"^cannot write {small_disk}/into: {reason}$"):
        unpack(archive, small_disk / "into")


def test_a_cache_where_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "set.zip", a=b"1")
    monkeypatch.setenv("HARKD_CACHE", str(archive))
    for call in (lambda: fetch([Download(archive.as_uri())], "toy"), lambda: unpacked(archive)):
        with pytest.raises(
            HarkdError, match=f"^cannot make the folder {archive}/.*Not a directory; make room there, or set HARKD_CACHE"
        ):
            call()


def test_holding_the_cache_sweeps_up(cache: Path, tmp_path: Path) -> None:
    (cache / "data" / "toy" / COMING).mkdir(parents=True)
    (cache / "data" / "toy" / COMING / "tmp1234").touch()
    (cache / "data" / "toy" / f".set-0123{UNFINISHED}").mkdir()
    archive = zipped(tmp_path / "set.zip", a=b"1")
    with held(cache, lambda: None):  # of another folder: it does not matter
        fetch([Download(archive.as_uri(), unpack=True)], "toy")
    assert everything(cache / "data" / "toy") == [RECORD, "set", "set.zip", "set/a"]
