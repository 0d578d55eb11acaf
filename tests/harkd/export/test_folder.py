"""What lies in an export folder beside the models: manifest, test vectors, report."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from harkd.export.decide import softmax
from harkd.export.manifest import Manifest
from harkd.export.report import markdown
from harkd.export.verification import Check
from harkd.report import Study, build, to_markdown

Made = Any
INT8, FLOAT = ("model_int8.tflite", "model_int8.onnx"), ("model_float.tflite", "model_fp32.onnx")


def test_vectors_are_answered_by_the_files(made: Made) -> None:
    """To the bit, by the same runtimes; recorded windows are there only where the licence lets them be given away."""
    with np.load(made.folder / "vectors.npz", allow_pickle=False) as stored:
        told = dict(stored)
    windows, recorded = told.pop("windows"), told.pop("recorded")
    assert windows.shape == (len(recorded), 6, 128)
    assert set(told) == {*INT8, *FLOAT}
    for file, answers in told.items():
        found = made.runner(file).raw(windows)
        assert found.dtype == answers.dtype
        assert np.array_equal(found, answers), file
    assert np.abs(told["model_fp32.onnx"] - made.logits(windows)).max() <= 1e-4
    assert len(set(told["model_int8.tflite"].argmax(1).tolist())) >= 3, "they try several classes"
    known = {window.tobytes() for window in made.x("train")}
    mine = [window.tobytes() in known for window in windows]
    assert mine == recorded.tolist()
    assert sum(mine) == (32 if made.parts.train.card.licence.redistribute else 0)


def test_the_report_says_what_was_found(made: Made) -> None:
    text = (made.folder / "REPORT.md").read_text()
    assert text == markdown(made.manifest, made.verification)
    failed = [check for check in made.verification.checks if not check.passed]
    assert (f"**{len(failed)} of 11 checks failed.**" if failed else "**All 11 checks passed.**") in text
    for file in (*INT8, *FLOAT):
        assert f"| `{file}` |" in text
        assert f"{(made.folder / file).stat().st_size / 1024:,.1f} KiB" in text
    assert f"**{made.verification.ram[INT8[0]]:,} bytes**" in text
    assert all(name in text for name in made.manifest.classes)
    assert f"Trained on {made.parts.train.card.name}" in text
    assert f"Commercial use: {'allowed' if made.parts.train.card.licence.commercial else 'not allowed'}" in text
    assert made.parts.train.card.citation in text
    people = made.verification.float.subjects
    assert len(people) == len(set(made.parts.test.subjects))
    assert all(f"| {one.subject} | {one.windows} | {one.accuracy:.1%} |" in text for one in people)


def test_a_report_of_a_failure_says_what_to_try(watch_made: Made) -> None:
    failed = Check("the name", "the bound", "what was found", passed=False, advice="this or that")
    passed = tuple(check for check in watch_made.verification.checks if check.passed)
    broken = replace(watch_made.verification, checks=(*passed, failed))
    text = markdown(watch_made.manifest, broken)
    assert "**All" in markdown(watch_made.manifest, replace(broken, checks=passed))
    assert f"**1 of {len(passed) + 1} checks failed.** Do not ship this as it is." in text
    assert "- **the name**: what was found (bound: the bound). What to try: this or that." in text
    assert "| the name | the bound | what was found | **failed** |" in text


def test_reports_on_runs_read_what_was_verified(watch_made: Made) -> None:
    page = build(Study.of([watch_made.run]))
    text = to_markdown(page, "report.html")
    assert "On the watch" in [section.title for section in page.sections]
    assert f"{(watch_made.folder / INT8[0]).stat().st_size / 1000:.1f}" in text
    passed = sum(check.passed for check in watch_made.verification.checks)
    assert f"{passed} of 11 passed" in text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_manifest_is_what_a_watch_must_know(watch_made: Made) -> None:
    told = watch_made.manifest
    assert Manifest.read(watch_made.folder) == told
    assert [sensor.name for sensor in told.sensors] == ["wrist_acc", "wrist_gyro"]
    assert [(channel.sensor, channel.units, channel.factor) for channel in told.channels] == [
        *[("wrist_acc", "g", 1.0)] * 3,
        *[("wrist_gyro", "rad/s", 1.0)] * 3,
    ]
    assert (told.rate, told.length, told.window.length) == (50.0, 128, 128)
    assert told.classes == watch_made.parts.train.classes
    assert told.terms["citation"] == watch_made.parts.train.card.citation
    assert told.environment["torch"] == torch.__version__
    assert 0 < told.unknown < 1
    for each in told.files:
        assert each.sha256 == hashlib.sha256((watch_made.folder / each.file).read_bytes()).hexdigest()


def test_the_threshold_keeps_95_percent_of_what_is_right(made: Made) -> None:
    logits = made.runner(INT8[0])(made.x("val"))
    probability = softmax(logits)
    right = probability.argmax(1) == made.parts.val.labels.numpy()
    kept = (probability.max(1) >= made.manifest.unknown)[right].mean()
    assert kept >= 0.95
    assert (probability.max(1) > made.manifest.unknown)[right].mean() < 0.95, "it is the largest one"
