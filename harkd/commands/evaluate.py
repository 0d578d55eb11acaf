"""`harkd evaluate`: score a finished run, subject by subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

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
    beside: tuple[str, ...] = ()
    """Other finished runs: how often they decide otherwise, how alike their embeddings are, and how good all are together."""
    flatness: bool = False
    """Also tell how flat the loss on training windows is where the net has settled; takes some seconds."""
    plane: str = ""
    """SVG file for a drawing of the training loss around the net's weights; takes some seconds."""
    json: bool = False
    """Print the scores as JSON."""


def main(argv: Sequence[str]) -> int:
    options = parse(Evaluate, "harkd evaluate", argv)
    from harkd.commands.session import threads
    from harkd.evaluation import evaluate, evaluate_logits
    from harkd.files import write_atomically
    from harkd.flatness import flatness, plane
    from harkd.likeness import likeness, together
    from harkd.parts import data_of, prepare, refuse_known
    from harkd.runs import Run

    run, *beside = (Run.open(folder) for folder in (options.run, *options.beside))
    stored = data_of(run)
    given = {name: value for name in ("data", "data_folder", "split") if (value := getattr(options, name))}
    data = replace(stored, **given)
    parts = prepare(data)
    windows = getattr(parts, options.part)
    player = run.load_player(windows, options.weights)
    others = [other.load_player(windows) for other in beside]
    windows = windows.having({sensor for each in (player, *others) for sensor in each.sees.sensors})
    if options.part != "train":
        for each in (run, *beside):
            refuse_known(each, parts, options.part, data)
    before = run.result().get("environment", {}).get("threads", "")
    with threads(int(before) if before.isdecimal() else 1):  # as when it was trained: the same bits
        found = evaluate(player, windows, codes=parts.codes)
        learnt = parts.train.having(player.sees.sensors)
        flat = flatness(player, learnt) if options.flatness else None
        if options.plane:
            from harkd.report.landscape import landscape

            drawn = landscape(plane(player, learnt), run.result()["label"])
            write_atomically(Path(options.plane), drawn.encode())
        alike = [
            {"run": folder, "accuracy": evaluate(other, windows).accuracy, **asdict(likeness(player, other, windows))}
            for folder, other in zip(options.beside, others, strict=True)
        ]
        every = evaluate_logits(together([player, *others], windows), windows, parts.codes) if others else None
    if options.json:
        more = {"flatness": asdict(flat)} if flat else {}
        print_json(found.to_dict() | more | ({"beside": alike, "together": every.to_dict()} if every else {}))
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
    if every:
        print()
        print_table([_row(each) for each in alike])
        print(
            f"\nall {len(alike) + 1} together, the mean of their logits: accuracy {every.accuracy:.1%}, "
            f"macro F1 {every.macro_f1:.1%}, NLL {every.nll:.3f}, ECE {every.ece:.3f}"
        )
    return 0


def _row(found: Mapping[str, Any]) -> dict[str, str]:
    way = found["way"]
    return {
        "beside": found["run"],
        "accuracy": f"{found['accuracy']:.1%}",
        "decides otherwise": f"{found['churn']:.1%}",
        "embeddings (CKA)": f"{found['cka']:.2f}",
        "loss on the way there": f"{way[0]:.3f}, at most {max(way):.3f}, {way[-1]:.3f}" if way else "another kind of net",
    }
