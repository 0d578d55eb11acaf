"""`harkd report`: one page about some finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.table import print_json
from harkd.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one self-contained HTML page, and the same as Markdown, about finished runs on one data set."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN ...")]
    """Folders of runs, or folders that hold some."""
    out: str = "report.html"
    """The page to write."""
    json: bool = False
    """Print the results of the runs, and where the page is, as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Report, "harkd report", argv)
    from harkd.commands.session import results
    from harkd.report import write_report
    from harkd.runs import Run

    folders: dict[Path, Path] = {}
    for given in options.runs:
        found = sorted(path.parent for path in Path(given).rglob("result.json"))
        if not found:
            if not Path(given).is_dir():
                Run.open(given)  # says why not
            raise UsageError(f"{given} holds no finished run")
        for folder in found:
            folders.setdefault(folder.resolve(), folder)
    runs = [Run.open(folder) for folder in folders.values()]
    page = Path(options.out)
    write_report(runs, page)
    if options.json:
        print_json({"report": str(page), "runs": results(runs)})
    else:
        print(f"{len(runs)} runs: {page} and {page.with_suffix('.md')}")
    return 0
