"""Downloads from servers of all kinds, over HTTP on this machine, and archives that are unpacked once."""

import gzip
import hashlib
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harkd.datasets import download as downloads
from harkd.datasets.download import Download
from harkd.datasets.store import COMING, RECORD, cache_folder, fetch
from harkd.errors import DataError, UsageError
from harkd.schema import validate

BODY = os.urandom(200_000)
SHA = hashlib.sha256(BODY).hexdigest()
GIVES_UP = 4


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return packed.getvalue()


class Server:
    """A server of one file, with the manners that a test gives it. `asked` has the Range and If-Range of each request."""

    def __init__(self) -> None:
        self.body, self.tag, self.ranges, self.honest = BODY, '"one"', True, True
        self.lie: int | None = 0  # about the length; None says nothing
        self.status: list[int] = []  # of the next answers, instead of 200
        self.breaks: list[int] = []  # bytes after which the next answers break off
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str | None, str | None]] = []
        self.pause: Callable[[], object] = lambda: None  # before breaking off
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/path/file%20one.bin?version=1"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        part, only_if = handler.headers["Range"], handler.headers["If-Range"]
        self.asked.append((part, only_if))
        begin, status = 0, self.status.pop(0) if self.status else 200
        if status == 200 and self.ranges and part and (not self.honest or only_if == self.tag):
            begin = int(part.removeprefix("bytes=").removesuffix("-"))
            status = 206 if begin < len(self.body) else 416
        body = b"sorry" if status >= 400 else self.body[begin:]
        handler.send_response(status)
        if status in (206, 416):
            handler.send_header(
                "Content-Range", f"bytes {f'{begin}-{len(self.body) - 1}' * (status == 206) or '*'}/{len(self.body)}"
            )
        if self.lie is not None:
            handler.send_header("Content-Length", str(len(body) + self.lie))
        for name, value in ({"ETag": self.tag} | self.headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        broken = self.breaks.pop(0) if self.breaks else len(body)
        handler.wfile.write(body[:broken])
        if broken < len(body):
            handler.wfile.flush()
            self.pause()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "time", SimpleNamespace(sleep=lambda seconds: None))
    return tmp_path / "cache"


def got(server: Server, name: str = "toy", **more: Any) -> Path:
    (wanted,) = [Download(server.url, **{"sha256": hashlib.sha256(server.body).hexdigest()} | more)]
    return fetch([wanted], name) / wanted.file


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# Downloads that come


def test_a_file_comes_once(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert got(server) == cache / "data" / "toy" / "file one.bin"
    assert (cache / "data" / "toy" / "file one.bin").read_bytes() == BODY
    assert names(cache) == [f"data/toy/{RECORD}", "data/toy/file one.bin"]
    assert sorted(os.listdir(cache / "data" / "toy")) == [RECORD, "file one.bin"]
    assert server.asked == [(None, None)]
    assert capsys.readouterr() == ("", f"downloading {server.url}\n")


def test_several_files_and_an_archive(server: Server, tmp_path: Path) -> None:
    server.body = zipped(**{"a/x.csv": b"1", "b.csv": b"2"})
    (tmp_path / "local.txt").write_bytes(b"text")
    wanted = [Download(server.url, file="raw/Set One.zip", unpack=True), Download((tmp_path / "local.txt").as_uri())]
    for _ in range(2):
        folder = fetch(wanted, "toy")
    assert names(folder) == [RECORD, "local.txt", "raw/Set One.zip", "raw/Set One/a/x.csv", "raw/Set One/b.csv"]
    assert len(server.asked) == 1
    shutil.rmtree(folder / "raw" / "Set One")
    assert (fetch(wanted, "toy") / "raw" / "Set One" / "b.csv").read_bytes() == b"2"
    assert len(server.asked) == 1


def test_progress_is_told(server: Server) -> None:
    told: list[tuple[int, int]] = []
    server.breaks = [150_000]
    fetch([Download(server.url)], "toy", lambda came, total: told.append((came, total)))
    assert told == sorted(told)
    assert {total for _, total in told} == {len(BODY)}
    assert told[-1][0] == len(BODY)


def test_content_codings_are_not_undone(server: Server) -> None:
    """Some servers label every .gz so: undone, its checksum would be wrong."""
    server.body, server.headers = gzip.compress(BODY), {"Content-Encoding": "x-gzip"}
    assert got(server).read_bytes() == server.body


def test_a_length_that_nobody_knows(server: Server) -> None:
    server.lie = None
    assert got(server).read_bytes() == BODY


# Downloads that break off


def test_a_broken_download_goes_on(server: Server) -> None:
    server.breaks = [70_000, 60_000]
    assert got(server).read_bytes() == BODY
    assert server.asked == [(None, None), ("bytes=70000-", '"one"'), ("bytes=130000-", '"one"')]


def test_a_broken_download_starts_anew_without_ranges(server: Server) -> None:
    server.ranges, server.breaks = False, [70_000]
    assert got(server).read_bytes() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("tag", "changed", "condition"),
    [('W/"weak"', "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT"), ('W/"weak"', "", None)],
)
def test_what_a_version_is_known_by(server: Server, tag: str, changed: str, condition: str | None) -> None:
    server.tag, server.breaks, server.headers = tag, [70_000], {"Last-Modified": changed}
    server.honest = False
    assert got(server).read_bytes() == BODY
    assert server.asked[1] == (condition and "bytes=70000-", condition)


def test_a_download_that_never_ends_well(server: Server, cache: Path) -> None:
    server.ranges, server.breaks = False, [70_000] * GIVES_UP
    with pytest.raises(DataError) as caught:
        got(server)
    assert str(caught.value).startswith(f"cannot download {server.url}: ")
    assert "; 70000 bytes are kept, repeat the command to go on, or download it by other means and put it at " in str(
        caught.value
    )
    assert str(caught.value).endswith(str(cache / "data" / "toy" / "file one.bin"))
    assert names(cache) == [f"data/toy/{COMING}/file one.bin.part", f"data/toy/{COMING}/file one.bin.part.json"]
    server.ranges = True
    assert got(server).read_bytes() == BODY
    assert server.asked[GIVES_UP:] == [("bytes=70000-", '"one"')]
    assert names(cache) == [f"data/toy/{RECORD}", "data/toy/file one.bin"]


@pytest.mark.parametrize("honest", [True, False])
def test_another_version_starts_anew(server: Server, cache: Path, honest: bool) -> None:
    """A server that ignores If-Range sends the rest of the new version: its ETag tells."""
    server.honest, server.breaks = honest, [70_000, 0, 0, 0, 0]
    with pytest.raises(DataError):
        got(server)
    server.breaks, server.tag, server.body = [], '"two"', os.urandom(150_000)
    assert got(server, sha256="").read_bytes() == server.body


def test_a_beginning_that_is_damaged_starts_anew(server: Server, cache: Path) -> None:
    server.breaks = [70_000, 0, 0, 0, 0]
    with pytest.raises(DataError):
        got(server)
    (part,) = cache.rglob("*.part")
    part.write_bytes(bytes(70_000))
    assert got(server).read_bytes() == BODY


@pytest.mark.parametrize("more", [b"", b"x"])
def test_a_beginning_that_is_all_or_more(server: Server, cache: Path, more: bytes) -> None:
    server.breaks = [70_000, 0, 0, 0, 0]
    with pytest.raises(DataError):
        got(server)
    (part,) = cache.rglob("*.part")
    part.write_bytes(BODY + more)
    del server.asked[:]
    assert got(server).read_bytes() == BODY
    assert len(server.asked) == 1 + len(more)


def test_ctrl_c_keeps_what_came(server: Server) -> None:
    def stop(came: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch([Download(server.url)], "toy", stop)
    assert got(server).read_bytes() == BODY
    begin, condition = server.asked[1]
    assert begin is not None
    assert (begin > "bytes=0", condition) == (True, '"one"')


# Servers that do not give it


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, GIVES_UP), (429, GIVES_UP)])
def test_a_server_that_refuses(server: Server, cache: Path, status: int, tries: int) -> None:
    server.status = [status] * 9
    with pytest.raises(DataError, match=rf"^cannot download {server.url.replace('?', '.')}: the server answers {status} \w+"):
        got(server)
    assert len(server.asked) == tries
    server.status = [503] * (GIVES_UP - 1)
    assert got(server).read_bytes() == BODY


@pytest.mark.parametrize(("lie", "ranges", "says"), [(100, False, "200000 of|more expected"), (-100, True, "has the SHA-256")])
def test_a_server_that_lies_about_the_length(server: Server, cache: Path, lie: int, ranges: bool, says: str) -> None:
    server.lie, server.ranges = lie, ranges
    with pytest.raises(DataError, match=says):
        got(server)
    assert not (cache / "data" / "toy" / "file one.bin").exists()
    server.lie, server.ranges = 100, True
    assert got(server).read_bytes() == BODY  # told that nothing is missing, and the checksum is right


def test_no_network(cache: Path) -> None:
    place = cache / "data" / "toy" / "a.bin"
    wanted = Download("http://127.0.0.1:1/a.bin", sha256=SHA)
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"^cannot download http://127\.0\.0\.1:1/a\.bin: .*Connection refused; .* put it at "
        ) as caught:
            fetch([wanted], "toy")
        assert str(caught.value).endswith(f" {place}")
    place.write_bytes(BODY)
    assert fetch([wanted], "toy") == place.parent


def test_a_file_url_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^cannot download file://{tmp_path}/missing: No such file or directory"):
        fetch([Download((tmp_path / "missing").as_uri())], "toy")


# Checksums


def test_a_wrong_checksum_of_a_download(server: Server, cache: Path) -> None:
    kept = cache / "data" / "toy" / COMING / "file one.bin.wrong"
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            got(server, sha256="0" * 64)
        for word in (
            server.url,
            SHA,
            "0" * 64,
            f"kept as {kept}",
            f"put the right file at {cache / 'data' / 'toy' / 'file one.bin'}",
        ):
            assert word in str(caught.value)
        assert kept.read_bytes() == BODY
        assert names(cache) == [kept.relative_to(cache).as_posix()]
    assert len(server.asked) == 2


def test_a_wrong_checksum_of_a_file_put_by_hand(server: Server, cache: Path) -> None:
    place = cache / "data" / "toy" / "file one.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"other")
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            got(server)
        for word in (str(place), hashlib.sha256(b"other").hexdigest(), SHA, server.url, "move it away"):
            assert word in str(caught.value)
        assert place.read_bytes() == b"other"
    assert server.asked == []


def test_a_file_that_changed_is_checked_again(server: Server, cache: Path) -> None:
    place = got(server)
    (cache / "data" / "toy" / RECORD).write_text("[]")
    assert got(server) == place
    place.write_bytes(BODY[:-1])
    with pytest.raises(DataError, match=r"file one\.bin has the SHA-256"):
        got(server)
    place.unlink()
    place.mkdir()
    with pytest.raises(DataError, match=r"file one\.bin is not a file"):
        got(server)


def test_a_folder_of_others_is_not_replaced(server: Server, cache: Path) -> None:
    server.body = zipped(a=b"1")
    (cache / "data" / "toy" / "set").mkdir(parents=True)
    with pytest.raises(DataError, match=r"toy/set was not unpacked from .*set\.zip: move it away"):
        got(server, file="set.zip", unpack=True)
    (cache / "data" / "toy" / "set").rmdir()
    assert got(server, file="set.zip", unpack=True).with_name("set").is_dir()
    (cache / "data" / "toy" / "set.zip").write_bytes(zipped(a=b"2"))
    with pytest.raises(DataError, match=r"toy/set was not unpacked from .*set\.zip: move it away"):
        got(server, file="set.zip", unpack=True, sha256="")


# What a card says


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"url": "ftp://example.org/a"}, "https, http, file"),
        ({"url": "https:///a"}, "https, http, file"),
        ({"url": "a.zip"}, "https, http, file"),
        ({"url": "https://example.org/a", "sha256": "AB"}, "64 lower-case"),
        ({"url": "https://example.org/"}, "give one as 'file'"),
        ({"url": "https://example.org/..%2Fa"}, "give one as 'file'"),
        *(
            ({"url": "https://example.org/a", "file": name}, "safe file name")
            for name in ("../a", "/a", "a//b", ".a", "a\\b", "C:a", "a\n")
        ),
        ({"url": "https://example.org/a", "unpak": True}, "did you mean 'unpack'"),
    ],
)
def test_what_a_download_may_be(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        validate(Download, values, "card.toml")


def test_places_that_clash(cache: Path) -> None:
    one, url = Download("https://example.org/a.zip", unpack=True), "https://example.org/"
    for other in (Download(f"{url}A.zip"), Download(f"{url}b", file="a")):
        with pytest.raises(UsageError, match="toy: two downloads want to be"):
            fetch([one, other], "toy")
    for name in ("../toy", "a/b", "", ".a"):
        with pytest.raises(UsageError, match="cannot be the name of a data folder"):
            fetch([one], name)
    assert not cache.exists()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)
    for told, place in (("", tmp_path / "xdg" / "harkd"), ("here", tmp_path / "here"), ("~/there", Path.home() / "there")):
        monkeypatch.setenv("HARKD_CACHE", told)
        assert cache_folder() == place
