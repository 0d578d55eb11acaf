"""The report's numbers and words, exact, from made-up runs. test_report_page.py tests the files it writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harkd.errors import HarkdError, UsageError
from harkd.report import Study, build, figures, write_report
from harkd.report.tree import Figure, Page, Table
from harkd.runs import Run

CLASSES = ("rest", "walk", "run")
ALONE, DISTILLED = (0.80, 0.83, 0.869), (0.809, 0.851, 0.893)
DISTILLED_LABEL, TEACHER_LABEL = "dscnn-s distilled (kd) from wrn1d-16-1", "wrn1d-16-1 (teacher)"


SAME = json.loads("""{
  "epochs": 3, "best_epoch": 2, "selected": "last", "augment": "removal(0.5)", "sees": "wrist_acc", "updates": 1620,
  "seconds": 41.0, "validation": null, "environment": {"harkd": "0.1.0", "python": "3.11.7"},
  "split": {"name": "official", "train": {"windows": 1688, "subjects": 5}, "val": {"windows": 731, "subjects": 2},
            "test": {"windows": 3000, "subjects": 3}},
  "terms": {"data": "made_up", "citation": "A. Nobody, 2020", "name": "CC-BY-NC-4.0", "commercial": false, "redistribute": null}
}""")
OF_ROLE = json.loads("""{
  "teacher": {"label": "wrn1d-16-1 (teacher)", "net": "wrn1d-16-1", "method": "ce", "parameters": 95000, "weights_bytes": 383200},
  "alone": {"label": "dscnn-s alone", "net": "dscnn-s", "method": "ce", "parameters": 4911, "weights_bytes": 22000},
  "distilled": {"label": "dscnn-s distilled (kd) from wrn1d-16-1", "net": "dscnn-s", "method": "kd", "parameters": 4911,
                "weights_bytes": 22000, "teacher": "wrn1d-16-1 (teacher)"}
}""")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers only: test_report_page.py looks at the drawings."""
    monkeypatch.setattr(figures, "draw", lambda *_: "<svg></svg>")


def evaluation(accuracies: Sequence[float], classes: Sequence[str] = CLASSES, never: int | None = None) -> dict[str, Any]:
    """Scores of subjects 8, 9, ... with 1000 windows each; class `never` is not answered; -1: class 0 is never true."""
    wide, windows, mean = len(classes), 1000 * len(accuracies), sum(accuracies) / len(accuracies)
    confusion = [[0 if j == never else round(windows * mean / wide) if i == j else 7 for j in range(wide)] for i in range(wide)]
    if never == -1:
        confusion[0] = [0] * wide
    edges = [(b / 15, (b + 1) / 15) for b in range(10, 15)]
    scores = {
        "accuracy": mean,
        "macro_f1": mean - 0.01,
        "balanced_accuracy": mean - 0.02,
        "nll": 0.5,
        "brier": 0.25,
        "ece": 0.125,
    }
    return scores | {
        "windows": windows,
        "classes": list(classes),
        "class_f1": [mean] * wide,
        "confusion": confusion,
        "subjects": [{"subject": str(8 + i), "windows": 1000, "accuracy": a, "macro_f1": a} for i, a in enumerate(accuracies)],
        "reliability": [
            {"low": low, "high": high, "windows": windows // 5, "confidence": (low + high) / 2, "accuracy": mean}
            for low, high in edges
        ],
    }


def result(role: str, seed: int, test: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    command = f"harkd distill --student dscnn-s --seed {seed} --method {role}"
    options = {"seed": seed, "rate": 0.003, "patience": 0, "metric": "nll"}
    return {**SAME, **OF_ROLE[role], "role": role, "seed": seed, "test": test, "command": command, "options": options, **more}


def write(folder: Path, values: dict[str, Any], epochs: int = 3) -> Run:
    run = Run(folder)
    run.write_json("result.json", values)
    terms = {"ce": 1.0, "gradient norm": 2.0} | ({"kl": 3.0} if values["role"] == "distilled" else {})
    history = []
    for epoch in range(epochs):
        scores = {"student": {"accuracy": 0.5 + 0.1 * epoch, "nll": 1.0}}
        history.append({"epoch": epoch, "terms": {name: value / (epoch + 1) for name, value in terms.items()}, "scores": scores})
    run.write_history(history)
    return run


def student(folder: Path, role: str, seed: int, accuracies: Sequence[float], **more: Any) -> Run:
    label = more.get("label", role)
    test = evaluation(accuracies, more.pop("classes", CLASSES), more.pop("never", None))
    epochs = more.pop("history", 3)
    return write(folder / f"{len(label)}-{role}-{seed}-{len(list(folder.glob('*')))}", result(role, seed, test, **more), epochs)


def pairs(folder: Path, alone: Sequence[float], distilled: Sequence[float], seeds: int = 3) -> list[Run]:
    """Students of some seeds: seed 1 as given; one point less and more for the others alone, two if distilled."""
    runs = []
    for seed in range(seeds):
        off = (seed - 1) * 0.01 if seeds > 1 else 0.0
        runs.append(student(folder, "alone", seed, [a + off for a in alone]))
        runs.append(student(folder, "distilled", seed, [a + 2 * off for a in distilled]))
    return runs


def teacher(folder: Path, accuracy: float = 0.9) -> Run:
    return student(folder, "teacher", 0, [accuracy] * 3)


def page_of(runs: Sequence[Run]) -> Page:
    return build(Study.of(runs))


def verdict_of(runs: Sequence[Run]) -> str:
    return page_of(runs).verdict.replace("\N{NO-BREAK SPACE}", " ")


def tables_of(page: Page, section: str) -> list[Table]:
    found = next(s for s in page.sections if s.title == section)
    blocks = [block for block in found.blocks if isinstance(block, Table)]
    return blocks + [table for block in found.blocks if isinstance(block, Figure) for table in block.numbers]


def figures_of(page: Page) -> list[Figure]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Figure)]


def test_verdict_where_it_helps(tmp_path: Path) -> None:
    assert verdict_of([teacher(tmp_path), *pairs(tmp_path, ALONE, DISTILLED)]) == (
        "Distilled students reach 85.1 % on 3 test subjects, 1.8 points more than the same students alone (3 of 3 seeds better; "
        "per subject +0.9, +2.1, +2.4). The teacher, wrn1d-16-1 with 95,000 parameters, reaches 90.0 %. "
        "With 3 test subjects no p-value is given."
    )


def test_verdict_where_it_does_not_help(tmp_path: Path) -> None:
    assert verdict_of([teacher(tmp_path, 0.7), *pairs(tmp_path, DISTILLED, ALONE)]) == (
        "Distillation does not help here: distilled students reach 83.3 % on 3 test subjects, 1.8 points less than the same "
        "students alone (0 of 3 seeds better; per subject −0.9, −2.1, −2.4). The teacher, wrn1d-16-1 with 95,000 "
        "parameters, reaches 70.0 %, no more than the students alone: it has little to teach. "
        "With 3 test subjects no p-value is given."
    )


def test_verdict_of_a_draw_and_of_a_doubtful_gain(tmp_path: Path) -> None:
    draw = verdict_of(pairs(tmp_path / "draw", ALONE, ALONE))
    assert draw.startswith(
        "Distillation does not help here: distilled students reach 83.3 % on 3 test subjects, level with the same"
    )
    doubtful = verdict_of(pairs(tmp_path / "doubtful", (0.8, 0.8, 0.8), (0.79, 0.795, 0.845)))
    assert doubtful.startswith("Distillation helps on average here, but not reliably: distilled students reach 81.0 %")
    assert "1.0 point more" in doubtful
    assert "per subject −1.0, −0.5, +4.5" in doubtful


def test_verdict_of_one_kind_is_neutral(tmp_path: Path) -> None:
    alone = [student(tmp_path, "alone", seed, ALONE) for seed in range(2)]
    assert verdict_of(alone) == (
        "Trained alone, dscnn-s reaches 83.3 % on 3 test subjects (mean of 2 seeds); subject 8 comes off worst with 80.0 %. "
        "There is no distilled student among these runs, so nothing is compared."
    )
    assert page_of(alone[:1]).title == "dscnn-s on made_up"
    assert "cannot be said" in verdict_of([student(tmp_path, "distilled", 0, ALONE)])
    assert "no students among these runs" in verdict_of([teacher(tmp_path)])


def test_one_seed(tmp_path: Path) -> None:
    page = page_of(pairs(tmp_path, ALONE, DISTILLED, seeds=1))
    assert page.verdict.startswith("The distilled student reaches 85.1")
    assert "than the same student alone (one seed only;" in page.verdict
    assert page.notes == ("there is one seed only, and another may turn the result round.",)
    assert tables_of(page, "Results")[0].rows[0][4] == "83.3"


def test_many_subjects_are_summed_up_but_all_listed(tmp_path: Path) -> None:
    alone, distilled = [0.8] * 10, [0.81] * 9 + [0.75]
    page = page_of(pairs(tmp_path, alone, distilled))
    assert "9 of 10 subjects better, from −5.0 to +1.0" in page.verdict
    assert "p-value" not in page.verdict
    assert len(tables_of(page, "Subject by subject")[0].rows) == 11


def test_results_table(tmp_path: Path) -> None:
    table = tables_of(page_of([teacher(tmp_path), *pairs(tmp_path, ALONE, DISTILLED)]), "Results")[0]
    common = ("0.500", "0.125", "0.250")
    assert table.rows == (
        (TEACHER_LABEL, "95,000", "383.2", "1", "90.0", "89.0", "88.0", *common, "8: 90.0", "1,620"),
        ("dscnn-s alone", "4,911", "22.0", "3", "83.3 ± 1.0", "82.3", "81.3", *common, "8: 80.0", "1,620"),
        (DISTILLED_LABEL, "4,911", "22.0", "3", "85.1 ± 2.0", "84.1", "83.1", *common, "8: 80.9", "1,620"),
    )


def test_seeds_and_subjects_tables(tmp_path: Path) -> None:
    page = page_of([teacher(tmp_path), *pairs(tmp_path, ALONE, DISTILLED)])
    assert tables_of(page, "Seed by seed")[0].rows == (
        ("0", "82.3", "83.1", "+0.8"),
        ("1", "83.3", "85.1", "+1.8"),
        ("2", "84.3", "87.1", "+2.8"),
        ("mean ± sd", "83.3 ± 1.0", "85.1 ± 2.0", "+1.8 ± 1.0"),
    )
    assert tables_of(page, "Subject by subject")[0].rows == (
        ("subject 8", "1,000", "90.0", "80.0", "80.9", "+0.9"),
        ("subject 9", "1,000", "90.0", "83.0", "85.1", "+2.1"),
        ("subject 10", "1,000", "90.0", "86.9", "89.3", "+2.4"),
        ("mean of subjects", "3,000", "90.0", "83.3", "85.1", "+1.8"),
    )


def test_numbers_of_the_figures(tmp_path: Path) -> None:
    page = page_of(pairs(tmp_path, ALONE, DISTILLED))
    ce, kl, accuracy, _ = tables_of(page, "Learning curves")
    assert ce.rows == (("1", "1.000", "1.000"), ("2", "0.500", "0.500"), ("3", "0.333", "0.333"))
    assert kl.head == ("epoch", "distilled")
    assert [row[1] for row in accuracy.rows] == ["50.0", "60.0", "70.0"]
    alone, _ = tables_of(page, "What is taken for what")
    assert alone.rows[0] == ("1  rest", "2,499", "21", "21", "2,541")
    alone, _ = tables_of(page, "How far its confidence can be trusted")
    assert alone.rows[0] == ("67–73", "1,800", "70.0", "83.3")


def test_curves_of_unlike_length(tmp_path: Path) -> None:
    runs = [student(tmp_path, "alone", 0, ALONE, history=250), student(tmp_path, "alone", 1, ALONE, history=201)]
    ce = tables_of(page_of(runs), "Learning curves")[0]
    assert [row[0] for row in ce.rows[:3]] == ["1", "3", "6"]
    assert ce.rows[-1][0] == "201"
    no_history = student(tmp_path, "alone", 2, ALONE, history=0)
    assert "Learning curves" not in [section.title for section in page_of([no_history]).sections]


def test_other_data_and_splits_are_refused(tmp_path: Path) -> None:
    one = student(tmp_path, "alone", 0, ALONE)
    terms = {"data": "other"}
    with pytest.raises(UsageError, match=r"one data set and one split.*data set.*made_up.*other"):
        Study.of([one, student(tmp_path, "distilled", 0, ALONE, terms=terms)])
    with pytest.raises(UsageError, match=r"differ in their split.*loso:3"):
        Study.of([one, student(tmp_path, "distilled", 0, ALONE, split={"name": "loso:3"})])
    with pytest.raises(UsageError, match="test windows per subject"):
        Study.of([one, student(tmp_path, "distilled", 0, ALONE[:2])])


def test_runs_that_cannot_be_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one finished run"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(UsageError, match=r"report\.html"):
        write_report([teacher(tmp_path)], tmp_path / "report.md")
    with pytest.raises(UsageError, match="with seed 0"):
        Study.of([student(tmp_path, "alone", 0, ALONE), student(tmp_path, "alone", 0, ALONE)])
    with pytest.raises(UsageError, match="no test subjects"):
        Study.of([write(tmp_path / "untested", result("alone", 0, None))])


def test_damaged_runs(tmp_path: Path) -> None:
    run = student(tmp_path, "alone", 0, ALONE)
    (run.folder / "history.jsonl").write_text('{"terms": 3}\n')
    with pytest.raises(HarkdError, match=r"history\.jsonl is damaged"):
        Study.of([run])
    values = result("alone", 0, evaluation(ALONE))
    values["test"]["confusion"].pop()
    with pytest.raises(HarkdError, match="3 rows and columns"):
        Study.of([write(tmp_path / "short", values)])
    del values["net"]
    with pytest.raises(HarkdError, match=r"result\.json.*net"):
        Study.of([write(tmp_path / "less", values)])


def test_only_common_seeds_are_compared(tmp_path: Path) -> None:
    runs = [*pairs(tmp_path, ALONE, DISTILLED), student(tmp_path, "alone", 7, (0.1, 0.1, 0.1))]
    page = page_of(runs)
    assert "1.8 points more" in page.verdict
    assert page.notes == ("compared on seeds 0, 1 and 2, which both have; seed 7 of dscnn-s alone has no partner.",)
    assert tables_of(page, "Results")[0].rows[0][3] == "4"
    assert [row[0] for row in tables_of(page, "Seed by seed")[0].rows] == ["0", "1", "2", "mean ± sd"]

    apart = page_of([student(tmp_path, "alone", 0, ALONE), student(tmp_path, "distilled", 1, ALONE)])
    assert "nothing is compared" in apart.verdict
    assert apart.notes == (f"{DISTILLED_LABEL} has no seed in common with a student alone, so it is not compared.",)


def test_unlike_sides_are_said_to_be_unlike(tmp_path: Path) -> None:
    alone = student(tmp_path, "alone", 0, ALONE)
    split = result("alone", 0, None)["split"] | {"train": {"windows": 99, "subjects": 1}}
    options = {"rate": 0.1, "metric": "nll"}
    more = {
        "updates": 2000,
        "augment": "none",
        "net": "dscnn-m",
        "selected": "best",
        "sees": "all",
        "split": split,
        "options": options,
    }
    page = page_of([alone, student(tmp_path, "distilled", 0, DISTILLED, **more)])
    note = page.notes[0]
    assert note.startswith("not a comparison of like with like. The nets differ: dscnn-s alone, dscnn-m distilled.")
    for part in (
        "The student updates differ: 1,620 alone, 2,000 distilled.",
        "The augmentation differs: removal(0.5) alone, none distilled.",
        "They see different data: wrist_acc alone, all distilled.",
        "The training data differ: 1,688 training windows alone, 99 distilled",
        "The tested weights differ: the last ones alone, the best ones distilled.",
        "Settings differ: rate (0.003 alone, 0.1 distilled).",
    ):
        assert part in note


def test_each_student_has_its_own_control(tmp_path: Path) -> None:
    runs = pairs(tmp_path, ALONE, DISTILLED)
    for seed in range(3):
        runs.append(student(tmp_path, "alone", seed, DISTILLED, net="dscnn-m", label="dscnn-m alone", parameters=16000))
        runs.append(student(tmp_path, "distilled", seed, ALONE, net="dscnn-m", label="dscnn-m distilled", parameters=16000))
    page = page_of(runs)
    assert page.verdict.startswith("Distillation helps in 1 of 2 comparisons with the same student alone, on 3 test subjects.")
    assert page.details[0].startswith(f"Helps: {DISTILLED_LABEL} reaches")
    assert page.details[1].startswith("Does not help: dscnn-m distilled reaches")
    assert page.notes == ()


def test_one_label_with_two_configurations(tmp_path: Path) -> None:
    runs = [
        student(tmp_path, "alone", seed, ALONE, options={"seed": seed, "augment": augment}, augment=augment)
        for seed in range(2)
        for augment in ("none", "jeon_mix1")
    ]
    study = Study.of(runs)
    assert [group.label for group in study.groups] == ["dscnn-s alone, augment none", "dscnn-s alone, augment jeon_mix1"]
    assert [group.seeds for group in study.groups] == [(0, 1), (0, 1)]


def test_one_test_subject(tmp_path: Path) -> None:
    page = page_of(pairs(tmp_path, (0.8,), (0.82,)))
    assert "on 1 test subject, 2.0 points more" in page.verdict
    assert "With 1 test subject no p-value is given." in page.verdict
    assert tables_of(page, "Subject by subject")[0].rows == (("subject 8", "1,000", "80.0", "82.0", "+2.0"),)


def test_classes_that_do_not_occur(tmp_path: Path) -> None:
    never = page_of([student(tmp_path, "alone", 0, ALONE, never=1)])
    assert any("The student alone never answers walk." in figure.caption for figure in figures_of(never))
    absent = page_of([student(tmp_path, "alone", 0, ALONE, never=-1)])
    assert any("No test window is of rest." in figure.caption for figure in figures_of(absent))
    assert "nan" not in str(tables_of(absent, "What is taken for what"))
