"""`harkd evaluate`: score a finished run, subject by subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from harkd.commands.cli import parse
from harkd.commands.table import print_json, print_table


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score a finished run on its own split, or on other data with the same sensors and classes."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a finished run."""
    weights: str = ""
    """last, best or epoch-N; by default those the run selected."""
    part: Literal["test", "val", "train"] = "test"
    """Which part of the split."""
    data: str = ""
    """Another data set; by default the run's."""
    data_folder: str = ""
    """Where its recordings are."""
    split: str = ""
    """Another split; by default the run's. People whom the run was trained on are refused."""
    flatness: bool = False
    """Also tell how flat the loss on training windows is where the net has settled; takes some seconds."""
    json: bool = False
    """Print the scores as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Evaluate, "harkd evaluate", argv)
    from harkd.commands.session import threads
    from harkd.evaluation import evaluate
    from harkd.flatness import flatness
    from harkd.parts import data_of, prepare, refuse_known
    from harkd.runs import Run

    run = Run.open(options.run)
    stored = data_of(run)
    given = {name: value for name in ("data", "data_folder", "split") if (value := getattr(options, name))}
    data = replace(stored, **given)
    parts = prepare(data)
    windows = getattr(parts, options.part)
    player = run.load_player(windows, options.weights)
    windows = windows.having(player.sees.sensors)
    if options.part != "train":
        refuse_known(run, parts, options.part, data)
    before = run.result().get("environment", {}).get("threads", "")
    with threads(int(before) if before.isdecimal() else 1):  # as when it was trained: the same bits
        found = evaluate(player, windows, codes=parts.codes)
        flat = flatness(player, parts.train.having(player.sees.sensors)) if options.flatness else None
    if options.json:
        print_json(found.to_dict() | ({"flatness": asdict(flat)} if flat else {}))
        return 0
    rows = [(score.subject, score.windows, score.accuracy, score.macro_f1) for score in found.subjects]
    rows.append(("all", found.windows, found.accuracy, found.macro_f1))
    print_table(
        [
            {"subject": name, "windows": windows, "accuracy": f"{accuracy:.1%}", "macro F1": f"{f1:.1%}"}
            for name, windows, accuracy, f1 in rows
        ]
    )
    print(
        f"\nbalanced accuracy {found.balanced_accuracy:.1%}, NLL {found.nll:.3f}, Brier {found.brier:.3f}, ECE {found.ece:.3f}; "
        f"worst subject {found.worst_subject.subject}: {found.worst_subject.accuracy:.1%}"
    )
    if flat:
        print(
            f"training loss: largest eigenvalue of the Hessian {flat.largest_eigenvalue:.3g}, trace {flat.trace:.3g}, "
            f"sharpness {flat.sharpness:.3g}"
        )
    return 0
