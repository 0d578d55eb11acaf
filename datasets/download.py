"""A file on its maker's server: what a card says about it, and a download that goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from harkd.errors import DataError
from harkd.files import write_atomically
from harkd.schema import STRICT_KEYS

if TYPE_CHECKING:
    from requests import Response

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and those that are expected (0: not known)."""

SCHEMES = ("https", "http", "file")
_BLOCK = 1 << 16
_TRANSIENT = (408, 425, 429)


@dataclass(frozen=True)
class Download:
    """A file of a data set: where it is, what it must be, and what it is called in the data folder."""

    __pydantic_config__ = STRICT_KEYS

    url: str
    sha256: str = ""
    """64 lower-case hexadecimal digits; empty if nobody knows them."""
    file: str = ""
    """Name in the data folder, `/` between its parts; by default the last part of the URL."""
    unpack: bool = False
    """It is an archive: unpack it into a folder of its name without `.zip` or `.tar.gz`, beside it."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not (parts.path if parts.scheme == "file" else parts.hostname):
            raise ValueError(f"a download is a URL with {', '.join(SCHEMES)}, got {self.url!r}")
        if self.sha256 and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is 64 lower-case hexadecimal digits, got {self.sha256!r}")
        if not self.file:
            object.__setattr__(self, "file", unquote(parts.path.rsplit("/", 1)[-1]))
        if not all(re.fullmatch(r"[^\W_][^/\\:\x00-\x1f\x7f]*", part) for part in self.file.split("/")):
            raise ValueError(f"{self.file!r} is no safe file name; give one as 'file'")


@dataclass(frozen=True)
class Listing:
    """Many files below one address; their checksums are in a file, in the form of sha256sum, beside the cards of harkd."""

    __pydantic_config__ = STRICT_KEYS

    base: str
    sums: str

    def files(self, folder: Path, only: str = "") -> tuple[Download, ...]:
        """The downloads that the file lists.

        Args:
            folder: where the file of checksums is.
            only: a regular expression that their names match, somewhere.
        """
        lines = (folder / self.sums).read_text(encoding="utf-8").split("\n")
        pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
        return tuple(Download(f"{self.base}{name}", sha256, name) for sha256, name in pairs if re.search(only, name))


class Resuming:
    """A downloader for pooch that goes on where an earlier one was interrupted, if the server lets it.

    What came is kept in the file `part`, and beside it what the server calls this version of the file (ETag or Last-Modified).
    The next call asks for the rest on the condition that the version is the same (RFC 9110, sections 13.1.5 and 14.2), and
    starts anew if it is not, or if the server cannot tell. Bytes are stored as they come: no content coding is undone.

    Args:
        part: where to keep what came.
        place: where the file will be in the end, for messages.
        sha256: what the file must be, or "".
        attempts: tries without a new byte before it gives up.
        pause: seconds before the second try; longer before later ones.
        timeout: seconds without a byte that count as a failure.
    """

    def __init__(
        self,
        part: Path,
        place: Path,
        sha256: str = "",
        progress: Progress | None = None,
        attempts: int = 4,
        pause: float = 1.0,
        timeout: float = 30.0,
    ) -> None:
        self.part, self.place, self.sha256 = part, place, sha256
        self.progress, self.attempts, self.pause, self.timeout = progress or (lambda came, total: None), attempts, pause, timeout
        self.meta = part.with_name(f"{part.name}.json")

    def __call__(self, url: str, output_file: str, pooch: Any = None, *, check_only: bool = False) -> None:
        """Download a URL to a file.

        Raises:
            DataError: it cannot be had, or is not the file it must be; the message says what to do. What came is kept.
        """
        if check_only:
            raise NotImplementedError("this downloader cannot ask without downloading")
        self.part.parent.mkdir(parents=True, exist_ok=True)
        went_on = self._get(url)
        if self.sha256 and went_on and sha256_of(self.part) != self.sha256:
            self._forget()  # the beginning was of another version, or did not reach the disk
            self._get(url)
        if self.sha256 and (found := sha256_of(self.part)) != self.sha256:
            kept = self.part.with_name(f"{self.place.name}.wrong")
            os.replace(self.part, kept)
            self.meta.unlink(missing_ok=True)
            raise DataError(
                f"{url}: the downloaded file has the SHA-256 {found}, expected {self.sha256}; it is not used and kept as {kept}. "
                f"Is it an error page, or a new version? Try again later, or put the right file at {self.place}"
            )
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.part, output_file)
        self.meta.unlink(missing_ok=True)

    def _get(self, url: str) -> bool:
        """All of the file into `part`. Returns whether an earlier beginning was used."""
        import requests
        import urllib3

        if url.startswith("file:"):
            self._copy(url)
            return False
        went_on, failures = False, 0
        while True:
            before = self._came()
            try:
                return self._receive(url) or went_on
            except _Refused as problem:
                raise self._unavailable(url, str(problem)) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, _Cut) as problem:
                why = _reason(problem)
            gained = self._came() > before
            went_on |= gained and before > 0
            failures = 1 if gained else failures + 1
            if failures >= self.attempts:
                raise self._unavailable(url, why)
            time.sleep(self.pause * failures)

    def _receive(self, url: str) -> bool:
        import requests

        came, version = self._came(), self._version(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "harkd"}
        if asks := bool(came and version):
            headers |= {"Range": f"bytes={came}-", "If-Range": version}
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            if asks and response.status_code == 416:
                if response.headers.get("Content-Range", "").strip() == f"bytes */{came}":
                    return True  # all of it came, but the process was killed before it said so
                self._forget()
                raise _Cut("it has fewer bytes than came before")
            if response.status_code >= 400:
                final = response.status_code < 500 and response.status_code not in _TRANSIENT
                raise (_Refused if final else _Cut)(f"the server answers {response.status_code} {response.reason}")
            begin, total = _range(response)
            if response.status_code not in (200, 206) or begin != (came if response.status_code == 206 else 0):
                self._forget()
                raise _Cut(f"the server answers {response.status_code} with other bytes than asked for")
            if begin and (now := _version_of(response)) and now != version:
                self._forget()
                raise _Cut("the server answers with the rest of another version")
            if not begin:
                self._forget()
                write_atomically(self.meta, json.dumps({"url": url, "version": _version_of(response)}).encode())
                came = 0
            with self.part.open("ab") as file:
                for block in response.raw.stream(_BLOCK, decode_content=False):
                    file.write(block)
                    came += len(block)
                    self.progress(came, total)
            if total and came != total:
                raise _Cut(f"{came} of {total} bytes came")
            return begin > 0

    def _copy(self, url: str) -> None:
        source = Path(url2pathname(urlsplit(url).path))
        try:
            total = source.stat().st_size
            opened = source.open("rb")
        except OSError as problem:
            raise self._unavailable(url, problem.strerror or str(problem)) from None
        self._forget()
        with opened as file, self.part.open("xb") as part:
            shutil.copyfileobj(file, part)
        self.progress(total, total)

    def _came(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _version(self, url: str) -> str:
        """What the server called the version that `part` is the beginning of, or ""."""
        try:
            told = json.loads(self.meta.read_bytes())
            return str(told["version"]) if told["url"] == url else ""
        except (OSError, ValueError, TypeError, KeyError):
            return ""

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)  # the part first: without it the other means nothing
        self.meta.unlink(missing_ok=True)

    def _unavailable(self, url: str, why: str) -> DataError:
        kept = f"{came} bytes are kept, repeat the command to go on" if (came := self._came()) else "check it and try again"
        return DataError(f"cannot download {url}: {why}; {kept}, or download it by other means and put it at {self.place}")


class _Cut(Exception):
    """A download that ended early; another try may help."""


class _Refused(Exception):
    """An answer that another try would not change."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _range(response: Response) -> tuple[int, int]:
    """The first byte that an answer holds and the bytes of the whole file (0: not told)."""
    length = response.headers.get("Content-Length", "")
    if response.status_code != 206:
        return 0, int(length) if length.isdecimal() else 0
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    return (int(told[1]), 0 if told[2] == "*" else int(told[2])) if told else (-1, 0)


def _version_of(response: Response) -> str:
    """A strong ETag, or the time of the last change: what If-Range takes."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _reason(problem: Exception) -> str:
    """The innermost reason: requests and urllib3 wrap it in several layers with addresses of objects."""
    inner: Any = problem
    while True:
        inside = getattr(inner, "reason", None) or (inner.args[-1] if getattr(inner, "args", None) else None)
        if not isinstance(inside, Exception):
            break
        inner = inside
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    text = re.sub(r"^<?[\w.]+\(.*?\)>?: |<[^>]*>:? ?", "", str(inner)).strip()
    return text or "the connection broke off"
