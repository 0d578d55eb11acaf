"""The figure of what a curriculum taught when: its numbers for every curriculum, and its place in a report."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor

from harkd.curricula import curriculum
from harkd.evaluation import evaluate_probabilities
from harkd.options import Curricula
from harkd.report import Study, build
from harkd.report.taught import taught
from harkd.report.tree import Figure
from harkd.runs import Run

CLASSES = ("rest", "walk")
EPOCHS, BATCH = 12, 2
LABELS = [0, 1, 0, 1, 0, 1, 0, 1]
LOSSES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
"""Of student and teacher: of each class a window, then the next one, so that pools take from both alike."""


class Asked:
    """Everybody answers so that the losses are `LOSSES`, whenever he is asked."""

    labels = torch.tensor(LABELS)
    teacher = "teacher"

    def logits(self, name: str) -> Tensor:
        sure = (-torch.tensor(LOSSES, dtype=torch.float64)).exp()
        return torch.stack([torch.where(self.labels == label, sure, 1 - sure) for label in (0, 1)], 1).log()


def history_of(name: Any) -> list[dict[str, Any]]:
    """What a curriculum writes into the history of a run."""
    made, records = curriculum(name, BATCH, 0, EPOCHS), []
    made.begin(len(LABELS), 0, torch.device("cpu"))
    for epoch in range(EPOCHS):
        made.start(epoch, Asked())
        told = made.told()
        scores = {"student": {"accuracy": 0.5, "nll": 1.0}}
        records.append({"epoch": epoch, "terms": {"ce": 1.0}, "scores": scores} | ({"taught": told} if told else {}))
    return records


def run_of(folder: Path, history: list[dict[str, Any]], seed: int = 0, classes: tuple[str, ...] = CLASSES, **more: Any) -> Run:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % len(classes)
    names = np.repeat(["person-1", "person-2"], 20)
    codes = {name: name for name in ("person-1", "person-2")}
    test = evaluate_probabilities(rng.dirichlet(np.ones(len(classes)), 40), labels, names, classes, codes)
    run, part = Run(folder), {"windows": 40, "subjects": 2}
    run.write_history(history)
    plain = {"role": "distilled", "label": "net distilled (kd)", "net": "dscnn-s", "method": "kd", "parameters": 4911}
    plain |= {"weights_bytes": 22000, "updates": 10, "epochs": len(history), "options": {"seed": seed}, "terms": {"data": "x"}}
    split = {"name": "official", "train": part, "val": part, "test": part}
    run.write_json("result.json", {**plain, "split": split, "seed": seed, "test": test.to_dict(), **more})
    return run


def figure_of(*runs: Run) -> Figure:
    (figure,) = taught(Study.of(runs))
    assert isinstance(figure, Figure)
    return figure


def numbers(figure: Figure) -> dict[str, list[float]]:
    """The drawn shares by class."""
    (panel,) = figure.panels
    assert panel.data is not None
    head, rows = panel.data.head, panel.data.rows
    assert head[0] == "epoch"
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return {name: [float(row[at] or 0) for row in rows] for at, name in enumerate(head[1:], 1)}


def log_weights(epoch: int) -> list[float]:
    """v = (1 + exp(-t)) / (1 + exp(l - t)), t a quantile that goes from a half to all in six epochs; mean of each class."""
    level = float(np.quantile(LOSSES, min(1.0, 0.5 + 0.5 * epoch / 6)))
    told = [(1 + math.exp(-level)) / (1 + math.exp(loss - level)) for loss in LOSSES]
    return [float(np.mean(told[label::2])) for label in (0, 1)]


def heard(epoch: int) -> list[float]:
    """The windows that the teacher finds easiest: 30 % at first, and all after six epochs."""
    number = math.floor(8 * min(1.0, 0.3 + 0.7 * epoch / 6) + 1e-9)
    return [LABELS[:number].count(label) / 4 for label in (0, 1)]


SHOW_ALL = ("shuffle", "by-class")
BY_HAND: dict[str, list[list[float]]] = {
    "iskd": [[1.0] * 2 + [0.5] * 3 + [0.75] * 4 + [1.0] * 3] * 2,
    # Four stretches: 4, 6, 7 and 8 of eight windows; the seventh is the fourth of `rest`.
    "teacher-confidence": [[0.5] * 3 + [0.75] * 3 + [1.0] * 3 + [1.0] * 3, [0.5] * 3 + [0.75] * 3 + [0.75] * 3 + [1.0] * 3],
    "ces": [[heard(epoch)[label] for epoch in range(EPOCHS)] for label in (0, 1)],
    "self-paced": [[log_weights(epoch)[label] for epoch in range(EPOCHS)] for label in (0, 1)],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_every_curriculum_by_hand(tmp_path: Path, name: str) -> None:
    figure = figure_of(run_of(tmp_path / "run", history_of(name)))
    found = numbers(figure)
    assert list(found) == list(CLASSES)
    for label, wanted in zip(CLASSES, BY_HAND[name], strict=True):
        assert found[label] == pytest.approx(wanted, abs=1e-6)
    assert figure.title == "What was taught when: net distilled (kd)"
    (table,) = figure.numbers
    assert table.head == ("class", *map(str, range(1, EPOCHS + 1)))
    assert table.rows == tuple((label, *(f"{100 * share:.0f}" for share in found[label])) for label in CLASSES)
    told = "; ".join(f"{label}: {100 * found[label][0]:.0f} at first, {100 * found[label][-1]:.0f} at last" for label in CLASSES)
    assert ElementTree.fromstring(figure.panels[0].svg).get("aria-label") == (
        f"Share of each class's training windows that were taught, by epoch. {told}."
    )


def test_no_curriculum_is_left_out() -> None:
    assert {*SHOW_ALL, *BY_HAND} == set(get_args(Curricula))


def test_cells_are_as_strong_as_their_shares(tmp_path: Path) -> None:
    """Each has a tooltip with its number."""
    svg = ElementTree.fromstring(figure_of(run_of(tmp_path / "run", history_of("iskd"))).panels[0].svg)
    titles = {text for each in svg.iter() if each.tag.endswith("title") and (text := each.text)}
    assert titles >= {f"{name}, epoch 4: 50.0\N{NO-BREAK SPACE}%" for name in CLASSES}
    assert titles >= {f"{name}, epoch 1: 100.0\N{NO-BREAK SPACE}%" for name in CLASSES}
    assert sum(", epoch " in title for title in titles) == 2 * EPOCHS


@pytest.mark.parametrize("name", SHOW_ALL)
def test_where_all_windows_count_alike_there_is_no_such_figure(tmp_path: Path, name: Any) -> None:
    assert history_of(name)[0].keys() == {"epoch", "terms", "scores"}
    plain = run_of(tmp_path / "plain", history_of(name))
    assert taught(Study.of([plain])) == ()
    assert "What was taught when" not in [section.title for section in build(Study.of([plain])).sections]


def records(*shares: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "terms": {}, "scores": {}, "taught": {"share": 0, "classes": each}} for epoch, each in enumerate(shares)
    ]


def test_seeds_are_averaged_as_far_as_all_of_them_go(tmp_path: Path) -> None:
    one = run_of(tmp_path / "0", records((0.2, 0.4), (0.6, 0.8), (1.0, 1.0)), seed=0)
    two = run_of(tmp_path / "1", records((0.4, 0.0), (1.0, 0.6)), seed=1)
    assert numbers(figure_of(one, two)) == {"rest": pytest.approx([0.3, 0.8]), "walk": pytest.approx([0.2, 0.7])}


def test_every_group_has_a_figure_of_its_own(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "iskd", history_of("iskd")),
        run_of(tmp_path / "plain", history_of("shuffle"), label="plain"),
        run_of(tmp_path / "ces", history_of("ces"), label="other"),
    ]
    found = [block for block in taught(Study.of(runs)) if isinstance(block, Figure)]
    assert [figure.title for figure in found] == ["What was taught when: net distilled (kd)", "What was taught when: other"]
    assert len({panel.name for figure in found for panel in figure.panels}) == 2


def test_names_of_classes_are_text_and_not_markup(tmp_path: Path) -> None:
    strange = ('<b>&"walk"</b>', "bell\a$x$")
    svg = figure_of(run_of(tmp_path / "run", history_of("iskd"), classes=strange)).panels[0].svg
    assert "<b>" not in svg
    texts = {each.text for each in ElementTree.fromstring(svg).iter()}
    assert strange[0] in texts
    assert f"{strange[0]}, epoch 4: 50.0\N{NO-BREAK SPACE}%" in texts
    assert "bell\N{REPLACEMENT CHARACTER}$x$" in texts


def test_a_long_history_is_a_short_table(tmp_path: Path) -> None:
    figure = figure_of(run_of(tmp_path / "run", records(*[(at / 250, 1 - at / 250) for at in range(250)])))
    (table,) = figure.numbers
    assert table.head[1:3] == ("1", "3")
    assert table.head[-1] == "250"
    assert len(table.head) <= 102
    assert len(numbers(figure)["rest"]) == 250


def test_it_stands_in_the_report_of_a_run(harkd: Any, world: Any) -> None:
    words = [*world.distill, "--epochs", "6", "--teacher-epochs", "1", "--curriculum", "iskd", "--out", "here/student"]
    assert harkd(*words).code == 0
    assert harkd("report", "here/student").code == 0
    text = Path("report.html").read_text(encoding="utf-8")
    assert "What was taught when: dscnn-xs distilled (kd) from dscnn-s" in text
    assert "## What was taught when" in Path("report.md").read_text(encoding="utf-8")
    told = re.findall(r"(?:slow|medium|fast), epoch (\d): (\d+\.\d)", text)
    assert len(told) == 3 * 6
    # 18 of 36 windows, as many of each class, in the stretch after the warm-up of an epoch.
    assert {(epoch, share) for epoch, share in told if epoch in "123"} == {("1", "100.0"), ("2", "50.0"), ("3", "50.0")}
