"""What is measured on the files of two real students, again and by other ways; and mistakes that these measures must notice."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from harkd.datasets import Scaler
from harkd.evaluation import evaluate_probabilities
from harkd.export import verify
from harkd.export.decide import softmax
from harkd.export.deploy import deploy
from harkd.export.int8 import calibration_index, gains, quantise
from harkd.export.package import Wanted, export
from harkd.export.runners import litert, micro
from harkd.export.runners import onnx as onnx_runner
from harkd.export.verification import Drop

Made = Any
INT8, FLOAT = ("model_int8.tflite", "model_int8.onnx"), ("model_float.tflite", "model_fp32.onnx")

ON_A_DEVICE = """
import sys, numpy, tflite_micro
interpreter = tflite_micro.runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
details = interpreter.get_input_details(0)
interpreter.set_input(numpy.ones(details["shape"], details["dtype"]), 0)
interpreter.invoke()
print("answered")
"""


def some(made: Made, count: int = 200) -> Any:
    """Test windows, evenly spaced, in the units of training, which are those of the watch here."""
    x = made.x()
    return x[np.linspace(0, len(x) - 1, count).round().astype(int)]


def test_checks_pass_on_a_student_that_knows_its_data(made: Made) -> None:
    """Else nothing here would mean anything: the students are far better than chance, and decide for many classes."""
    assert [check.name for check in made.verification.checks if not check.passed] == []
    assert len(made.verification.checks) == 11
    assert made.verification.float.accuracy > 0.7
    expected = made.logits(made.x())
    assert len(set(expected.argmax(1).tolist())) >= 5
    for file in INT8:
        assert (made.runner(file)(made.x()).argmax(1) == expected.argmax(1)).mean() >= 0.97


@pytest.mark.parametrize("file", FLOAT)
def test_float_files_are_pytorch(made: Made, file: str) -> None:
    x = some(made)
    expected = made.logits(x)
    found = made.runner(file)(x)
    assert np.abs(found - expected).max() <= 1e-4
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


def test_int8_runtimes_agree(made: Made) -> None:
    """TensorFlow Lite Micro is LiteRT's reference kernels, to a step and in every decision.

    This machine's kernels round once where the reference rounds twice, in every layer: seldom by more than one step.
    """
    x = some(made)
    file = INT8[0]
    reference = made.runner(file).raw(x)
    assert reference.dtype == np.int8
    device = micro(made.folder / file, made.file(file), made.verification.ram[file]).raw(x)
    assert np.abs(reference.astype(int) - device).max() <= 1
    assert reference.argmax(1).tolist() == device.argmax(1).tolist()
    fast = litert(made.folder / file, made.file(file), "fast").raw(x)
    assert (np.abs(reference.astype(int) - fast) <= 1).mean() >= 0.98
    assert (reference.argmax(1) == fast.argmax(1)).mean() >= 0.98


def test_the_quantised_graph_is_what_a_device_runs(made: Made) -> None:
    """Quantised here again, to a step of the output and in every decision."""
    parts, x = made.parts, some(made)
    index = calibration_index(parts.train.labels, len(parts.train.classes))
    windows = made.player.sees(parts.train.gather(index))
    gain = gains(windows, [3, 3])
    graph = quantise(deploy(made.player.net, gain), gain, windows)
    simulated, device = graph(torch.from_numpy(x)).numpy(), made.runner(INT8[0])(x)
    assert np.abs(simulated - device).max() <= 1.01 * made.file(INT8[0]).output_scale
    assert simulated.argmax(1).tolist() == device.argmax(1).tolist()


def test_accuracies_are_those_of_the_files(made: Made) -> None:
    """Scikit-learn's, on the decisions of the int8 file."""
    truth = made.parts.test.labels.numpy()
    for found, answers in (
        (made.verification.float, made.logits(made.x())),
        (made.verification.int8, made.runner(INT8[0])(made.x())),
    ):
        labels = sorted({*truth.tolist(), *answers.argmax(1).tolist()})
        assert found.accuracy == pytest.approx(accuracy_score(truth, answers.argmax(1)))
        assert found.macro_f1 == pytest.approx(f1_score(truth, answers.argmax(1), labels=labels, average="macro"))
    lost = made.verification.drop
    assert lost.macro_f1 == pytest.approx(made.verification.float.macro_f1 - made.verification.int8.macro_f1)
    assert lost.low <= lost.macro_f1 <= lost.high


def test_the_arena_is_the_smallest_one(made: Made) -> None:
    file = INT8[0]
    needed = made.verification.ram[file]

    def runs(size: int) -> bool:
        command = [sys.executable, "-c", ON_A_DEVICE, str(made.folder / file), str(size)]
        return subprocess.run(command, capture_output=True, check=False).stdout == b"answered\n"

    assert needed % 16 == 0
    assert runs(needed)
    assert not runs(needed - 64)


def test_files_are_compact_and_plain(made: Made) -> None:
    """An int8 file holds its parameters at a byte each, some more, and nothing but convolutions and their like."""
    parameters = made.player.net.parameter_count
    size = (made.folder / INT8[0]).stat().st_size
    assert parameters < size < 1.1 * parameters + 40 * 1024
    assert (made.folder / FLOAT[0]).stat().st_size > 4 * 0.9 * parameters
    found = made.verification.operators[INT8[0]]
    assert set(found) <= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "CONCATENATION", "PAD", "RESHAPE"}
    assert not any("TRANSPOSE" in name for names in made.verification.operators.values() for name in names)


@pytest.mark.parametrize("file", ["model_fp32.onnx", "model_int8.onnx"])
def test_onnx_files_tell_nothing_of_python(made: Made, file: str) -> None:
    model = onnx.load(made.folder / file)
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        assert not each.doc_string
        assert not getattr(each, "metadata_props", ())
    assert [value.name for value in (*graph.input, *graph.output)] == ["window", "logits"]


def test_no_file_tells_of_this_machine(made: Made) -> None:
    """Neither of this checkout nor of the folder that it was exported to, nor of the program that wrote it."""
    for path in made.folder.iterdir():
        content = path.read_bytes()
        for word in (str(made.folder), str(Path.cwd()), "pytest-of", "site-packages", "/harkd/", "/tmp/", "/home/"):
            assert word.encode() not in content, f"{word} in {path.name}"
        assert not re.search(rb"\.py\b", content), path.name


# Mistakes that a program on a watch could make, and that a converter could: each must fail parity and agreement.


def flipped(x: Any) -> Any:
    """The numbers of (time, channel) where (channel, time) belongs, as a program does that takes one layout for the other."""
    return np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(x.shape)


MISTAKES = {
    "normalisation left out": lambda x: (x - x.mean((0, 2), keepdims=True)) / x.std((0, 2), keepdims=True),
    "channels swapped": lambda x: x[:, [1, 0, 2, 3, 4, 5]],
    "sensors swapped": lambda x: x[:, [3, 4, 5, 0, 1, 2]],
    "time and channel swapped": flipped,
    "other units": lambda x: x * 9.80665,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_windows_fail_every_comparison(watch_made: Made, mistake: str) -> None:
    x = some(watch_made)
    expected, wrong = watch_made.logits(x), np.ascontiguousarray(MISTAKES[mistake](x), np.float32)
    for file in FLOAT:
        assert verify.parity(file, expected, watch_made.runner(file)(x)).passed
        assert not verify.parity(file, expected, watch_made.runner(file)(wrong)).passed
    for file in INT8:
        assert (watch_made.runner(file)(x).argmax(1) == expected.argmax(1)).mean() >= 0.96
        failed = verify.agreement(file, expected, watch_made.runner(file)(wrong))
        assert not failed.passed
        assert failed.advice == "train it for int8: harkd export RUN --qat"


def test_a_net_with_another_scaler_fails_every_comparison(watch_made: Made) -> None:
    x = some(watch_made)
    net = copy.deepcopy(watch_made.player.net)
    net.scaler = Scaler(net.scaler.mean.flatten() + net.scaler.std.flatten(), 2 * net.scaler.std.flatten())
    expected = watch_made.logits(x, net)
    assert not any(verify.parity(file, expected, watch_made.runner(file)(x)).passed for file in FLOAT)
    assert not any(verify.agreement(file, expected, watch_made.runner(file)(x)).passed for file in INT8)


def test_int8_needs_the_scale_of_each_sensor(watch_made: Made) -> None:
    """One scale for all sensors is the gain left out. A wrong zero point shifts every sample."""
    x = some(watch_made)
    expected, told = watch_made.logits(x), watch_made.file(INT8[0])
    assert len(set(told.scale)) == 2, "a gain for each sensor"
    one = (max(told.scale),) * 6
    for changed in ({"scale": one}, {"scale": tuple(reversed(told.scale))}, {"zero_point": told.zero_point + 40}):
        assert not verify.agreement(INT8[0], expected, watch_made.runner(INT8[0], **changed)(x)).passed


def test_a_file_refuses_the_other_layout(watch_made: Made) -> None:
    """Channels last and channels first have other shapes: the runtime says so, rather than to answer something."""
    x = some(watch_made, 2)
    with pytest.raises(ValueError, match=r"Dimension mismatch|set tensor"):
        watch_made.runner("model_float.tflite", layout="1,channel,1,time")(x)
    with pytest.raises(Exception, match="Got invalid dimensions"):
        watch_made.runner("model_fp32.onnx", layout="1,1,time,channel")(x)


def test_calibration_with_people_who_are_held_out_fails(watch_made: Made) -> None:
    parts = watch_made.parts
    chosen = parts.train.subset(calibration_index(parts.train.labels, len(parts.train.classes)))
    held_out = [parts.val, parts.test]
    assert verify.calibration(chosen, held_out).passed
    assert not set(chosen.ids.tolist()) & {*parts.val.ids.tolist(), *parts.test.ids.tolist()}
    for part in held_out:
        failed = verify.calibration(part, held_out)
        assert not failed.passed
        assert failed.found.startswith(f"{len(part)} windows of {len(set(part.subjects))} people; some of whom are held out")


def test_calibration_without_a_class_fails_and_names_it(watch_made: Made) -> None:
    train = watch_made.parts.train
    failed = verify.calibration(train.subset(np.flatnonzero(train.labels.numpy() != 2)), [])
    assert not failed.passed
    assert failed.found.endswith(f"none of class {train.classes[2]!r}")
    assert "every class" in failed.advice


def test_a_path_planted_in_a_real_file_fails(watch_made: Made) -> None:
    model = onnx.load(watch_made.folder / "model_fp32.onnx")
    assert verify.private({"m.onnx": model.SerializeToString()}).passed
    for length in range(20, 130):
        model.graph.node[0].doc_string = "/home/ermintrude/".ljust(length, "x")
        assert not verify.private({"m.onnx": model.SerializeToString()}).passed, length


def test_equal_answers_lose_nothing_in_any_resample(watch_made: Made) -> None:
    test = watch_made.parts.test
    logits = watch_made.logits(watch_made.x())
    assert verify.loss(test.labels.numpy(), test.subjects, logits, logits) == Drop(0.0, 0.0, 0.0)


def test_the_class_that_lost_most_is_named(watch_made: Made) -> None:
    """One class is never told: the export would be refused, and says which."""
    test = watch_made.parts.test
    truth, logits = test.labels.numpy(), watch_made.logits(watch_made.x())
    best = int(np.argmax(watch_made.verification.float.class_f1))
    damaged = logits.copy()
    damaged[:, best] -= 100
    scores = [
        evaluate_probabilities(softmax(each), truth, test.subjects, test.classes, watch_made.parts.codes)
        for each in (logits, damaged)
    ]
    failed = verify.drop("m", verify.loss(truth, test.subjects, logits, damaged), *scores)
    assert not failed.passed
    assert failed.advice.startswith(f"class {test.classes[best]!r} loses most: F1 ")
    assert "to 0.0%" in failed.advice
    assert verify.drop("m", Drop(0.0101, None, None), *scores).found == "+1.01 points"
    assert not verify.drop("m", Drop(0.0101, None, None), *scores).passed
    assert verify.drop("m", Drop(0.0099, None, None), *scores).passed


def test_weights_of_three_bits_are_refused(watch_made: Made, tmp_path: Path) -> None:
    """An export whose int8 net was spoilt before: it does not pass, and the class that it names lost most."""
    parts = watch_made.parts
    index = calibration_index(parts.train.labels, len(parts.train.classes))
    gain = gains(watch_made.player.sees(parts.train.gather(index)), [3, 3])
    spoilt = deploy(watch_made.player.net, gain)
    for name, weight in spoilt.named_parameters():
        if name.endswith("weight"):
            step = weight.abs().max() / 3
            weight.copy_((weight / step).round() * step)
    _, found = export(watch_made.player, parts, tmp_path / "export", Wanted(to=("onnx",)), "", "", spoilt)
    failed = {check.name: check for check in found.checks if not check.passed}
    assert set(failed) == {"model_int8.onnx decides as the float net does", "model_int8.onnx is as good as the float net"}
    truth, answers = parts.test.labels.numpy(), onnx_runner(tmp_path / "export" / INT8[1], watch_made.file(INT8[1]))
    classes = range(len(parts.test.classes))
    before, after = (
        f1_score(truth, logits.argmax(1), labels=classes, average=None, zero_division=0)
        for logits in (watch_made.logits(watch_made.x()), answers(watch_made.x()))
    )
    worst = parts.test.classes[int(np.argmax(before - after))]
    assert failed["model_int8.onnx is as good as the float net"].advice.startswith(f"class {worst!r} loses most: F1 ")
