"""`harkd report`: one page about some finished runs, or about a study."""

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
    """Write one self-contained HTML page, and the same as Markdown, about finished runs on one data set, or about a study of
    harkd compare."""

    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN ...")]
    """Folders of runs, or folders that hold some; or the folder of one study (with --diff: of two)."""
    diff: bool = False
    """Tell what two studies differ in, and what became of the levels that both have."""
    out: str = "report.html"
    """The page to write."""
    json: bool = False
    """Print the results, and where the page is, as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Report, "harkd report", argv)
    from harkd.compare.store import STUDY

    studies = [given for given in options.runs if (Path(given) / STUDY).is_file()]
    if options.diff:
        if len(options.runs) != 2 or len(studies) != 2:
            raise UsageError("harkd report --diff takes the folders of two studies of harkd compare")
        return _difference(options)
    if studies:
        if len(options.runs) > 1:
            raise UsageError(f"{studies[0]} is a study, and a page is about one study: give it alone, or two with --diff")
        return _study(options)
    return _runs(options)


def _runs(options: Report) -> int:
    from harkd.commands.session import results
    from harkd.report import write_report
    from harkd.report.words import many
    from harkd.runs import runs_below

    runs = runs_below(options.runs)
    page = Path(options.out)
    write_report(runs, page)
    if options.json:
        print_json({"report": str(page), "runs": results(runs)})
    else:
        print(f"{many(len(runs), 'run')}: {page} and {page.with_suffix('.md')}")
    return 0


def _study(options: Report) -> int:
    from harkd.concluding import read_study
    from harkd.report.compared import comparison_json
    from harkd.report.comparison import write_comparison

    compared, page = read_study(Path(options.runs[0])), Path(options.out)
    write_comparison(compared, page)
    if options.json:
        print_json({"report": str(page), **comparison_json(compared)})
    else:
        print("\n".join([*compared.sentences, "", f"{page} and {page.with_suffix('.md')}"]))
    return 0


def _difference(options: Report) -> int:
    from harkd.concluding import read_study
    from harkd.report.difference import build_difference
    from harkd.report.writing import write_page

    one, other = (read_study(Path(given)) for given in options.runs)
    difference, page = build_difference(one, other), Path(options.out)
    write_page(difference, page)
    if options.json:
        print_json({"report": str(page), "verdict": difference.verdict, "details": difference.details})
    else:
        print("\n".join([difference.verdict, *difference.details, "", f"{page} and {page.with_suffix('.md')}"]))
    return 0
