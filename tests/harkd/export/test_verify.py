"""The checks alone, on worked numbers: each passes at its bound and fails beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from harkd.export import verify


def test_checks_fail_one_step_beyond_their_bound() -> None:
    zeros = np.zeros((100, 3), np.float32)
    zeros[:, 0] = 1
    worse = zeros.copy()
    worse[7, 1] = 1.01e-4
    assert verify.parity("m", zeros, zeros + np.float32(0.99e-4)).passed
    assert not verify.parity("m", zeros, worse).passed
    turned = zeros.copy()
    turned[:3] = np.roll(turned[:3], 1, 1)
    assert verify.agreement("m", zeros, turned).passed
    turned[3] = np.roll(turned[3], 1)
    assert verify.agreement("m", zeros, turned).found == "96.00% of 100"
    assert not verify.agreement("m", zeros, turned).passed
    steps = np.array([[5, -3], [2, 9]], np.int8)
    assert verify.runtimes("a", "b", steps, steps + 1).passed
    assert not verify.runtimes("a", "b", steps, steps + np.array([2, 0], np.int8)).passed


def test_two_classes_within_a_step_are_told_either_way() -> None:
    """A gap of one step may close by rounding; a gap of two may not."""
    near, far, equal = np.array([[4, 5]], np.int8), np.array([[4, 6]], np.int8), np.array([[5, 5]], np.int8)
    assert verify.runtimes("a", "b", near, equal).passed
    assert verify.runtimes("a", "b", far, equal).found == "1 step, 0 of 1 decisions"
    assert not verify.runtimes("a", "b", far, equal).passed


def test_files_of_wrong_make_fail() -> None:
    assert verify.size("m", bytes(1100 + 40 * 1024), 1000, plain=True).passed
    assert not verify.size("m", bytes(1101 + 40 * 1024), 1000, plain=True).passed
    assert verify.size("m", bytes(1101 + 40 * 1024), 1000, plain=False).passed
    assert verify.operators("m", ["CONV_2D", "RESHAPE"]).passed
    failed = verify.operators("m", ["CONV_2D", "TRANSPOSE", "DEQUANTIZE", "TRANSPOSE"])
    assert failed.found == "DEQUANTIZE, TRANSPOSE"
    assert not failed.passed


@pytest.mark.parametrize("before", [b"", b"\0", b"2A", b"R0", b"z", b"Conv2a", b" ", b'"', b"file://"])
@pytest.mark.parametrize("path", ["/home/ermintrude/harkd", "/tmp/x.py", "/Users/e/net", "C:\\Users\\e", "/root/a"])
def test_a_path_in_a_file_fails_whatever_stands_before_it(before: bytes, path: str) -> None:
    """In an .onnx file the two bytes before a text are its field and its length, and these may be letters."""
    failed = verify.private({"a.onnx": b"nothing", "b.onnx": b"\x08\x0a" + before + path.encode() + b"\x12\0"})
    assert not failed.passed
    assert failed.found.startswith("b.onnx: ")


def test_addresses_of_the_web_are_no_paths() -> None:
    text = b'{"url": "https://example.org/home/data/x.zip", "note": "see http://example.org/tmp/y, and/or that; m/s2"}'
    assert verify.private({"manifest.json": text}).passed


def test_the_loss_by_int8_by_hand() -> None:
    """Two people with ten windows of each of two classes. Float has one wrong of each class; int8 takes class 0 of the second
    person for class 1 throughout: class 0 has 9 right of 10 told and 20 true, F1 18/30 after 0.95; class 1 has 19 right of 30
    told, F1 38/50 after 0.95. Of the first person nothing is lost, of the second one 1 - (0 + 20/30) / 2."""
    truth = np.tile(np.repeat([0, 1], 10), 2)
    people = np.repeat(["a", "b"], 20)
    before = np.eye(2, dtype=np.float32)[truth]
    before[[0, 10]] = before[[10, 0]]  # both of the first person
    after = before.copy()
    after[20:30] = [0, 1]
    lost = verify.loss(truth, people, before, after)
    assert lost.macro_f1 == pytest.approx(0.95 - (18 / 30 + 38 / 50) / 2)
    assert lost.low == pytest.approx(0)
    assert lost.high == pytest.approx(1 - (0 + 20 / 30) / 2)
    alone = verify.loss(truth[:20], people[:20], before[:20], after[:20])
    assert (alone.low, alone.high) == (None, None)
    assert alone.macro_f1 == 0
