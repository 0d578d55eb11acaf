"""Checks of exported files against the net they come from, each with a bound, what was found, and what to try.

The bounds are those of benchmarks/export.md, where they were measured on students trained on real recordings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from harkd.datasets import Windows
from harkd.evaluation import Evaluation
from harkd.export.budget import KIB
from harkd.export.runners import Floats
from harkd.export.verification import Check, Drop

PARITY = 1e-4
"""Largest difference of a logit between a float file and PyTorch."""
AGREEMENT = 0.97
"""Least share of windows that int8 decides as float does."""
DROP = 0.01
"""Largest loss of macro F1 by int8."""
STEPS = 1
"""Largest difference between two runtimes of one int8 file, in steps of its output."""
OVERHEAD = {True: 40 * KIB, False: 60 * KIB}
"""Bytes of an int8 .tflite file beside 1.1 per parameter; for plain nets, and for others such as transformers."""
PLAIN_OPERATORS = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "MAX_POOL_2D",
        "MEAN",
        "MUL",
        "PAD",
        "QUANTIZE",
        "REDUCE_MAX",
        "RELU",
        "RELU6",
        "RESHAPE",
    }
)
"""What an int8 .tflite file of a plain net may consist of: no transposes, nothing in float, nothing a runtime must be given."""
RESAMPLES = 2000
_OURS = ("", "root", "harkd", "window", "logits")  # names in model files that tell of nobody
# What stands before a path cannot be told from the path: in an .onnx file it is the length of the text, which may be a letter.
# Addresses of the web, which may go on like a path, are passed over.
_PATH = re.compile(
    rb"https?://[!-~]+|(/(?:home|root|Users|usr|tmp|opt|var|mnt|work|private)/[\w.-]+|[A-Za-z]:\\{1,2}Users)",
)


def parity(file: str, expected: Floats, found: Floats) -> Check:
    """A float file against PyTorch: logits (window, class) of the same windows."""
    worst = float(np.abs(found - expected).max())
    same = float((found.argmax(1) == expected.argmax(1)).mean())
    return Check(
        f"{file} gives PyTorch's answers",
        f"largest difference {PARITY:g}, all decisions equal",
        f"{worst:.1e}, {same:.2%} of {len(found):,} decisions",
        worst <= PARITY and same == 1,
        "the conversion is at fault: report it with the net's name and the versions in manifest.json",
    ).told()


def agreement(file: str, expected: Floats, found: Floats) -> Check:
    """An int8 file against the float net: decisions on the same windows."""
    same = float((found.argmax(1) == expected.argmax(1)).mean())
    return Check(
        f"{file} decides as the float net does",
        f"at least {AGREEMENT:.0%} of decisions",
        f"{same:.2%} of {len(found):,}",
        same >= AGREEMENT,
        "train it for int8: harkd export RUN --qat",
    ).told()


def runtimes(one: str, other: str, left: NDArray[Any], right: NDArray[Any]) -> Check:
    """Two runtimes of one int8 file: their outputs (window, class) as whole numbers.

    Where the two best classes of a window are within the bound of each other, either is a right decision.
    """
    worst = int(np.abs(left.astype(int) - right.astype(int)).max())
    best = np.sort(left.astype(int), 1)[:, -2:]
    differ = int(((left.argmax(1) != right.argmax(1)) & (best[:, 1] - best[:, 0] > STEPS)).sum())
    return Check(
        f"{one} and {other} agree",
        f"largest difference {STEPS} step of the output, all decisions equal",
        f"{worst} {'step' if worst == 1 else 'steps'}, {len(left) - differ:,} of {len(left):,} decisions",
        worst <= STEPS and not differ,
        "one runtime calculates differently: do not trust accuracies measured with the other",
    ).told()


def loss(truth: NDArray[np.int64], subjects: NDArray[np.str_], before: Floats, after: Floats) -> Drop:
    """What int8 costs on labelled windows.

    The interval is a paired bootstrap: subjects are drawn with replacement, with their windows under both models.

    Args:
        truth: (window,) class numbers.
        before, after: (window, class) logits of the float net and of the int8 file.
    """
    classes = before.shape[1]
    people = np.unique(subjects)
    tables = np.stack(
        [
            [confusion_matrix(truth[at], logits[at].argmax(1), labels=range(classes)) for at in (subjects == p for p in people)]
            for logits in (before, after)
        ]
    )
    found = float(_macro_f1(tables[0].sum(0)) - _macro_f1(tables[1].sum(0)))
    if len(people) < 2:
        return Drop(found, None, None)
    rng = np.random.Generator(np.random.Philox(0))
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), RESAMPLES)
    pooled = np.einsum("rp,mpij->mrij", drawn, tables)
    low, high = np.quantile(_macro_f1(pooled[0]) - _macro_f1(pooled[1]), (0.025, 0.975)).tolist()
    return Drop(found, low, high)


def _macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(..., class, class) counts to the mean F1 over the classes that occur or are predicted."""
    right = np.einsum("...ii->...i", confusion)
    whole = confusion.sum(-1) + confusion.sum(-2)
    f1 = np.divide(2 * right, whole, out=np.zeros(right.shape), where=whole > 0)
    return np.asarray(f1.sum(-1) / np.maximum((whole > 0).sum(-1), 1))


def drop(file: str, lost: Drop, before: Evaluation, after: Evaluation) -> Check:
    """Whether int8 costs too much, and which class most."""
    losses = np.subtract(before.class_f1, after.class_f1)
    worst = int(losses.argmax())
    interval = (
        "" if lost.low is None else f" (95 % interval over subjects {100 * lost.low:+.2f} to {100 * (lost.high or 0):+.2f})"
    )
    return Check(
        f"{file} is as good as the float net",
        f"macro F1 falls by at most {100 * DROP:g} point",
        f"{100 * lost.macro_f1:+.2f} points{interval}",
        lost.macro_f1 <= DROP,
        f"class {before.classes[worst]!r} loses most: F1 {before.class_f1[worst]:.1%} to {after.class_f1[worst]:.1%}; train it "
        "for int8 (harkd export RUN --qat), or take a wider net",
    ).told()


def calibration(chosen: Windows, held_out: Sequence[Windows]) -> Check:
    """Calibration windows come from training subjects only, and all classes are among them.

    Args:
        chosen: the calibration windows.
        held_out: validation and test windows. Of a split by session, people may be on both sides, but no window is.
    """
    people = set(chosen.subjects.tolist())
    sessions = set(zip(chosen.subjects.tolist(), chosen.sessions.tolist(), strict=True))
    shared = 0
    for part in held_out:
        theirs = set(zip(part.subjects.tolist(), part.sessions.tolist(), strict=True))
        shared += len(sessions & theirs) + int(torch.isin(chosen.ids, part.ids).sum())
    there = set(chosen.labels.tolist())
    missing = [name for number, name in enumerate(chosen.classes) if number not in there]
    found = [f"{len(chosen)} windows of {len(people)} people"]
    found += ["some of whom are held out"] if shared else []
    found += [f"none of class {', '.join(map(repr, missing))}"] if missing else []
    return Check(
        "calibration windows are from training subjects, of all classes",
        "none from validation or test, every class",
        "; ".join(found),
        not shared and not missing,
        "a class without training windows cannot be calibrated: choose a split in which training subjects show every class",
    ).told()


def size(file: str, content: bytes, parameters: int, plain: bool) -> Check:
    """The int8 file holds little beside its parameters."""
    bound = int(1.1 * parameters) + OVERHEAD[plain]
    return Check(
        f"{file} is compact",
        f"at most {bound / KIB:.1f} KiB (1.1 bytes for each of {parameters:,} parameters, and {OVERHEAD[plain] // KIB} KiB)",
        f"{len(content) / KIB:.1f} KiB",
        len(content) <= bound,
        "the converter wrote weights as floats or many operators: see the list of operators in REPORT.md",
    ).told()


def operators(file: str, found: Sequence[str], runs: bool = True) -> Check:
    """The int8 file of a plain net has operators that every runtime has in int8.

    Args:
        runs: whether TensorFlow Lite Micro runs it.
    """
    strange = sorted(set(found) - PLAIN_OPERATORS)
    strange += [] if runs else ["TensorFlow Lite Micro does not run them"]
    return Check(
        f"{file} needs common operators only",
        "no transpose, no float arithmetic, no custom operator",
        ", ".join(strange) or f"{len(found)} operators, all common",
        not strange,
        "take a net that watches run well, like dscnn-s",
    ).told()


def private(contents: Mapping[str, bytes]) -> Check:
    """No file tells of the machine that wrote it."""
    words = {str(Path.home()), str(Path.cwd())} - {"/"}
    name = rb"(?<!\w)" + re.escape(Path.home().name.encode()) + rb"(?!\w)"
    told = []
    for file, content in contents.items():
        hits = [match[1].decode(errors="replace") for match in _PATH.finditer(content) if match[1]]
        hits += [word for word in words if word.encode() in content]
        # Texts are harkd's own, where a user's name may be a word of the language; what a converter writes is not.
        if Path(file).suffix in (".tflite", ".onnx") and Path.home().name not in _OURS and re.search(name, content):
            hits.append(Path.home().name)
        told += [f"{file}: {hits[0]}"] if hits else []
    return Check(
        "no file tells of this machine",
        "no absolute path, no user name",
        "; ".join(told) or f"none in {len(contents)} files",
        not told,
        "report it with the versions in manifest.json",
    ).told()
