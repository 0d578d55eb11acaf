"""`harkd demo`: real smartwatch recordings, a teacher, students alone and distilled, and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harkd.commands.cli import parse, read_recipe
from harkd.commands.table import print_json
from harkd.errors import UsageError
from harkd.options import CE, Distill, Machine


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Distil a student on real smartwatch recordings: one teacher, then students alone and distilled, and a report about them."""

    out: str = "demo"
    """Folder for the runs and the report."""
    seeds: int = 3
    """Students of each kind."""
    device: str = "auto"
    """auto, cpu, cuda ..."""
    threads: int = 1
    """Threads for torch. Small nets gain nothing from more; 0 leaves it to torch."""
    json: bool = False
    """Print the results as JSON."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"seeds is at least 1, got {self.seeds}")


def main(argv: Sequence[str]) -> int:
    options = parse(Demo, "harkd demo", argv)
    recipe = read_recipe(Distill, "demo")
    from harkd.commands.session import print_results, results, session
    from harkd.report import write_report
    from harkd.training import distill, teacher_run

    folder = Path(options.out)
    machine = Machine(device=options.device, threads=options.threads, json=options.json)
    runs = []
    with session(machine) as live:
        live.display.say(
            f"{recipe.data}: a teacher ({recipe.teacher}), then {options.seeds} students ({recipe.student}) alone and distilled"
        )
        runs.append(teacher_run(recipe, live, folder))
        for seed in range(options.seeds):
            distilled = replace(recipe, seed=seed)
            alone = replace(distilled, method="ce", method_options=CE())
            runs.append(distill(alone, live, folder / f"alone-s{seed}"))
            runs.append(distill(distilled, live, folder / f"distilled-s{seed}"))
    page = folder / "report.html"
    write_report(runs, page)
    found = results(runs)
    if options.json:
        print_json({"report": str(page), "runs": found})
    else:
        print_results(found)
        print(f"\nreport: {page}")
    return 0
