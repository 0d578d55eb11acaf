"""`harkd compare`: which configuration really helps, over subjects, with honest statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harkd.commands.cli import parse, recipe_path, value_of
from harkd.commands.table import print_json, print_table
from harkd.compare.options import Running, Study
from harkd.errors import Interrupted, UsageError
from harkd.options import Machine, Pair
from harkd.schema import read_toml, validate

if TYPE_CHECKING:
    from harkd.compare.executors import Executor
    from harkd.compare.store import Store
    from harkd.costs import Cost
    from harkd.report.compared import Compared
    from harkd.training import Session

STUDIES = Path("studies")


@dataclass(frozen=True)
class Compare:
    """Compare configurations on your data: every one in every fold with every seed, then statistics over subjects.

    --augment, --method, --student and --teacher take several levels with commas between them, like --augment none,jeon_mix1; any
    other option does with --vary. What is finished is never trained again: the same command goes on where it was stopped.
    """

    run: Pair = field(default_factory=Pair)
    study: Study = field(default_factory=Study)
    running: Running = field(default_factory=Running)
    machine: Machine = field(default_factory=Machine)


def parse_study(argv: Sequence[str]) -> Compare:
    """The options of a study; a TOML design gives the defaults.

    Raises:
        UsageError: a flag, or a key or value of the design, is wrong.
    """
    name = value_of("--recipe", argv)
    default = Compare() if not name else _read(name)
    return parse(Compare, "harkd compare", argv, default)


def _read(name: str) -> Compare:
    path = recipe_path(name)
    values, text = read_toml(path)
    keys = {f.name for f in fields(Study)}
    study = validate(Study, {key: value for key, value in values.items() if key in keys}, str(path), text)
    pair = validate(Pair, {key: value for key, value in values.items() if key not in keys}, str(path), text)
    return Compare(pair, study)


def main(argv: Sequence[str]) -> int:
    asked = parse_study(argv)
    from harkd.commands.session import copy, session
    from harkd.compare.board import Board
    from harkd.compare.store import Store
    from harkd.comparing import Studying, share_data
    from harkd.concluding import conclude

    pair, study, running, machine = asked.run, asked.study, asked.running, asked.machine
    folder = Path(machine.out) if machine.out else STUDIES / Path(pair.data).stem
    store = Store(folder)
    with session(machine) as live:
        if running.dry_run:
            return _show_plan(asked, store, live)
        workers = running.workers or processors()
        executor = _executor(asked, store, live, workers)
        board = Board(live.display, store, study.score, executor, lambda job: copy(store.run(job.name), live))
        studying = Studying(pair, study, store, live, executor, board, running.retry)
        studying.check()
        with store.held():
            store.write_options(asdict(pair) | asdict(study))
            share_data(pair, live)
            try:
                results = studying.results()
            except Interrupted:
                raise Interrupted(f"stopped; what is done is kept in {folder}: repeat the command to go on") from None
            finally:
                executor.cancel()
            store.drop_bank()
            compared = conclude(results, study, store, live, running.export)
    if machine.json:
        from harkd.report.compared import comparison_json

        print_json({"study": str(folder), **comparison_json(compared)})
    else:
        _tell(compared, folder)
    return 1 if results.failed else 0


def processors() -> int:
    """How many this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor(asked: Compare, store: Store, live: Session, workers: int) -> Executor:
    from functools import partial

    from harkd.compare.executors import GIB, SHARE, Local, free_memory
    from harkd.comparing import begin

    if asked.running.executor == "ray":
        from harkd.compare.ray_cluster import RayCluster

        machine = asked.machine
        if machine.device not in ("auto", "cpu"):
            raise UsageError(f"--executor ray trains on processors, one for each run: leave out --device {machine.device}")
        ready = partial(begin, replace(machine, device="cpu"))
        return RayCluster(ready, store.runs, live.windows, asked.running.address, asked.running.workers)
    memory = asked.running.memory * GIB or SHARE * free_memory()
    return Local(partial(begin, asked.machine, store.runs, store.bank), workers, memory)


def _show_plan(asked: Compare, store: Store, live: Session) -> int:
    from harkd.comparing import design_of, plan
    from harkd.costs import costs
    from harkd.report.words import duration

    if asked.study.trials:
        raise UsageError("--dry-run cannot know what --trials will try: take the options of one trial")
    design = design_of(asked.run, asked.study, live)
    planned = plan(design, live)
    found = costs(planned, store, live)
    workers = asked.running.workers or processors()
    rest = sum(cost.seconds * (cost.runs - cost.there) for cost in found) / workers
    if asked.machine.json:
        rows = [asdict(cost) for cost in found]
        print_json(
            {"levels": design.names, "control": design.control, "folds": design.folds, "seeds": design.seeds, "jobs": rows}
        )
        return 0
    print_table([_cost_row(cost) for cost in found])
    total, there = sum(cost.runs for cost in found), sum(cost.there for cost in found)
    print(
        f"\n{len(design.levels)} levels x {len(design.folds)} folds x {len(design.seeds)} seeds against {design.control}: "
        f"{total} runs with their teachers, {there} there already; at most about {duration(rest)} with {workers} workers here"
    )
    for note in design.notes:
        print(note)
    if asked.study.halving:
        print("successive halving will leave some out, so that it takes less")
    return 0


def _cost_row(cost: Cost) -> dict[str, object]:
    from harkd.report.words import duration

    return {
        "what": cost.what,
        "runs": cost.runs,
        "there": cost.there,
        "updates each": cost.updates,
        "time each": duration(cost.seconds),
    }


def _tell(compared: Compared, folder: Path) -> None:
    print("\n".join([*compared.sentences, *compared.results.design.notes]))
    print(f"\nreport: {folder / 'report.html'}")
