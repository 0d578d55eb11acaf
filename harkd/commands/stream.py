"""`harkd stream`: decisions about samples that come in on standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.predict import chosen, limit
from harkd.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Read samples from standard input, one per line, and print a decision as soon as a window is complete.

    A line is the time in seconds at the end of the window, the decision and its probability, with tabs between them. Samples
    come at the model's rate and in the watch's units; what is expected is told on standard error. Their order is free if the
    first line is a header.
    """

    folder: Annotated[Positional[str], arg(metavar="FOLDER")]
    """What harkd export wrote."""
    model: str = ""
    """Which model file of the folder; by default the int8 one."""
    unknown: Annotated[float | None, arg(metavar="SHARE")] = None
    """Decisions less likely than this are unknown; by default the threshold that was fitted at export. 0 keeps all."""
    json: bool = False
    """Print each decision as a line of JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Stream, "harkd stream", argv)
    from harkd.export import stream as live
    from harkd.export.manifest import Manifest
    from harkd.export.runners import open_runner

    folder = Path(options.folder)
    manifest = Manifest.read(folder)
    stream = live.Stream(manifest, open_runner(folder, chosen(manifest, options.model)), limit(options.unknown, manifest))
    print(f"harkd: {stream.told()}", file=sys.stderr, flush=True)
    some = False
    for found in live.decisions(_lines(live.LONGEST), stream):
        some = True
        if options.json:
            print(json.dumps(asdict(found)), flush=True)
        else:
            print(f"{found.time:.2f}\t{found.decision}\t{found.probability:.3f}", flush=True)
    if not some:
        length = manifest.window.length
        raise DataError(f"standard input ended before the first window was complete: {length} samples are needed")
    return 0


def _lines(longest: int) -> Iterator[bytes]:
    """The lines of standard input, each as soon as it is there; none takes more memory than `longest`."""
    while line := sys.stdin.buffer.readline(longest):
        yield line
