"""The report on exported students: worked numbers, several exports, and files that are damaged."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harkd.errors import HarkdError
from harkd.evaluation import Evaluation, evaluate_probabilities
from harkd.report import Study, build, deployment, to_html, to_markdown
from harkd.report.tree import Facts, Figure, Page, Table
from harkd.runs import Run

CLASSES = ("rest", "walk", "run")
LABELS = [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5  # of subject 1, then of subject 2; nobody runs
FLOAT_WRONG, INT8_WRONG = (0, 10, 11), (0, 5, 10, 11)  # int8 also takes one walk of subject 1 for rest


def scores(wrong: Sequence[int]) -> Evaluation:
    """Of answers that are sure and, but for some windows, right."""
    answers = [1 - label if number in wrong else label for number, label in enumerate(LABELS)]
    subjects = np.repeat(["1", "2"], 10)
    return evaluate_probabilities(np.eye(3)[answers], np.array(LABELS), subjects, CLASSES, {"1": "1", "2": "2"})


def verification(**more: Any) -> dict[str, Any]:
    plain = {
        "harkd": "0.1.0",
        "target": "mcu-s",
        "qat": False,
        "checks": [
            {"name": "size", "bound": "at most 48 kB", "found": "26.6 kB", "passed": True, "advice": ""},
            {"name": "decisions", "bound": "at least 99 %", "found": "95 %", "passed": False, "advice": "try --qat"},
        ],
        "files": {
            "model_int8.tflite": {"bytes": 26608, "kind": "int8 tflite"},
            "model_float.tflite": {"bytes": 58120, "kind": "float tflite"},
        },
        "ram": {"model_int8.tflite": 8128},
        "macs": 100000,
        "parameters": 4911,
        "budgets": [
            {"target": "mcu-s", "flash": 65536, "ram": 16384, "fits": True, "why": ""},
            {"target": "tiny", "flash": 16384, "ram": 4096, "fits": False, "why": "the file takes 26.0 KiB of 16"},
        ],
        "float": scores(FLOAT_WRONG).to_dict(),
        "int8": scores(INT8_WRONG).to_dict(),
        "drop": {"macro_f1": 0.0486, "low": -0.01, "high": 0.1},
    }
    return plain | more


def run(folder: Path, seed: int = 0, exported: dict[str, Any] | None = None) -> Run:
    made = Run(folder / f"run-{seed}")
    part = {"windows": 20, "subjects": 2}
    values = {
        "role": "alone",
        "label": "dscnn-s alone",
        "net": "dscnn-s",
        "seed": seed,
        "parameters": 4911,
        "weights_bytes": 22000,
    }
    values |= {"updates": 10, "epochs": 2, "split": {"name": "official", "test": part}, "terms": {"data": "made_up"}}
    made.write_json("result.json", {**values, "test": scores(FLOAT_WRONG).to_dict()})
    if exported is not None:
        path = made.folder / "export" / "verification.json"
        path.parent.mkdir()
        path.write_text(json.dumps(exported))
    return made


def section(page: Page) -> tuple[Any, ...]:
    return next(each.blocks for each in page.sections if each.title == "On the watch")


def tables(page: Page) -> dict[str, Table]:
    blocks = section(page)
    found = [block for block in blocks if isinstance(block, Table)]
    found += [table for block in blocks if isinstance(block, Figure) for table in block.numbers]
    return {table.caption: table for table in found}


def test_nothing_is_said_without_an_export(tmp_path: Path) -> None:
    page = build(Study.of([run(tmp_path)]))
    assert "On the watch" not in [section.title for section in page.sections]
    assert page.notes == ()


def test_an_exported_student(tmp_path: Path) -> None:
    """By hand: float has rest 14/17 and walk 20/23, int8 rest 14/18 and walk 18/22; run has no windows and no answers."""
    page = build(Study.of([run(tmp_path, exported=verification())]))
    found = tables(page)
    assert found["Exported students, measured on their files and the test subjects."].rows == (
        ("dscnn-s alone", "26.6", "8.1", "100,000", "85.0", "80.0", "84.7", "79.8", "−4.9 (−10.0 to +1.0)", "1 of 2"),
    )
    assert found["dscnn-s alone: F1 by class"].rows == (
        ("rest", "10", "82.4", "77.8", "−4.6"),
        ("walk", "10", "87.0", "81.8", "−5.1"),
        ("run", "0", "–", "–", "–"),
    )
    assert found["dscnn-s alone: accuracy by subject"].rows == (
        ("subject 1", "10", "90.0", "80.0", "−10.0"),
        ("subject 2", "10", "80.0", "80.0", "0.0"),
    )
    assert found["Accuracy against the size of the file"].rows == (
        ("dscnn-s alone", "model_float.tflite", "58.1", "85.0", "84.7"),
        ("dscnn-s alone", "model_int8.tflite", "26.6", "80.0", "79.8"),
    )
    facts = dict(next(block for block in section(page) if isinstance(block, Facts)).items)
    said = {name: text.replace("\N{NO-BREAK SPACE}", " ") for name, text in facts.items()}
    assert said["files"] == "model_int8.tflite 26.6 kB, model_float.tflite 58.1 kB"
    assert said["budget mcu-s"] == "fits: 26.6 of 65.5 kB flash and 8.1 of 16.4 kB RAM"
    assert said["budget tiny"] == "does not fit: the file takes 26.0 KiB of 16"
    assert said["checks"] == "1 of 2 passed"
    assert said["not passed: decisions"] == "found 95 %, the bound is at least 99 %; try --qat"
    assert page.notes == ("the export of dscnn-s alone breaks 1 bound: decisions.",)


def test_numbers_to_take_away(tmp_path: Path) -> None:
    page = build(Study.of([run(tmp_path, exported=verification())]))
    sheets = {panel.name: panel.data for block in section(page) if isinstance(block, Figure) for panel in block.panels}
    assert list(sheets) == ["files", "classes0", "files-subjects0"]
    assert sheets["classes0"].rows == (
        ("rest", 10, pytest.approx(14 / 17), pytest.approx(14 / 18), pytest.approx(14 / 18 - 14 / 17)),
        ("walk", 10, pytest.approx(20 / 23), pytest.approx(18 / 22), pytest.approx(18 / 22 - 20 / 23)),
        ("run", 0, None, None, None),
    )
    assert [row[2:5] for row in sheets["files"].rows] == [("model_float.tflite", 58120, 0.85), ("model_int8.tflite", 26608, 0.8)]


def test_an_export_to_onnx_alone(tmp_path: Path) -> None:
    files = {"model_fp32.onnx": {"bytes": 61200}, "model_int8.onnx": {"bytes": 31200}}
    found = tables(build(Study.of([run(tmp_path, exported=verification(files=files, ram={}))])))
    assert [row[1:3] for row in found["Accuracy against the size of the file"].rows] == [
        ("model_fp32.onnx", "61.2"),
        ("model_int8.onnx", "31.2"),
    ]


def test_one_subject_has_no_interval_and_a_phone_no_bound_on_ram(tmp_path: Path) -> None:
    budgets = [{"target": "wear-os", "flash": 10_000_000, "ram": None, "fits": True, "why": ""}]
    exported = verification(drop={"macro_f1": 0.0486, "low": None, "high": None}, budgets=budgets)
    page = build(Study.of([run(tmp_path, exported=exported)]))
    assert next(iter(tables(page).values())).rows[0][8] == "−4.9"
    facts = dict(next(block for block in section(page) if isinstance(block, Facts)).items)
    assert facts["budget wear-os"] == "fits: 26.6 of 10,000.0\N{NO-BREAK SPACE}kB flash"


def test_several_exports_have_a_row_each(tmp_path: Path) -> None:
    page = build(Study.of([run(tmp_path, seed, verification()) for seed in (0, 1)] + [run(tmp_path, 2)]))
    rows = tables(page)["Exported students, measured on their files and the test subjects."].rows
    assert [row[0] for row in rows] == ["dscnn-s alone, seed 0", "dscnn-s alone, seed 1"]
    assert [block.title for block in section(page) if isinstance(block, Facts)] == [row[0] for row in rows]
    panels = [[panel.title for panel in block.panels] for block in section(page) if isinstance(block, Figure)]
    assert panels == [[""], [row[0] for row in rows], [row[0] for row in rows]]
    for text in (to_html(page), to_markdown(page, "report.html")):
        assert text.count("not passed: decisions") == 2


def test_an_export_without_scores_and_without_checks_on_ram(tmp_path: Path) -> None:
    page = build(Study.of([run(tmp_path, exported=verification(float=None, int8=None, drop=None, ram={}, budgets=[]))]))
    (table,) = tables(page).values()
    assert table.rows == (("dscnn-s alone", "26.6", "–", "100,000", "–", "–", "–", "–", "–", "1 of 2"),)
    assert not [block for block in section(page) if isinstance(block, Figure)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"macs": -1}, r"verification\.json: macs: .*greater than or equal to 0 \(found -1\)"),
        ({"files": {"model_int8.tflite": {}}}, r"files\.model_int8\.tflite\.bytes: Field required"),
        ({"ram": {"other.tflite": 1}}, r"ram: 'other\.tflite' is not among its files\): export the run again"),
        ({"int8": None}, "scores of both float and int8"),
        ({"float": {**scores(FLOAT_WRONG).to_dict(), "class_f1": [1.0]}}, "float: class_f1 has 1 values for 3 classes"),
        ({"int8": {**scores(FLOAT_WRONG).to_dict(), "confusion": []}}, "int8: the confusion table needs 3 rows"),
        (
            {"int8": {**scores(FLOAT_WRONG).to_dict(), "classes": ["a", "b", "c"]}},
            r"other classes or test windows than .*result\.json",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(HarkdError, match=message):
        Study.of([run(tmp_path, exported=verification(**change))])


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    made = run(tmp_path, exported=verification())
    (made.folder / "export" / "verification.json").write_text("{")
    with pytest.raises(HarkdError, match=r"export/verification\.json is damaged"):
        Study.of([made])


def test_names_in_the_drawing_are_short_and_tell_apart(tmp_path: Path) -> None:
    both = Study.of([run(tmp_path, seed, verification()) for seed in (0, 1)])
    figure = next(block for block in deployment.deployment(both) if isinstance(block, Figure))
    assert ">dscnn-s, seed 0<" in figure.panels[0].svg
    assert ">dscnn-s, seed 1<" in figure.panels[0].svg
