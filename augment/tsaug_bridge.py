"""Any augmenter or pipeline of the package tsaug, as one op of a strategy."""

from __future__ import annotations

import ast
import inspect
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harkd.augment import keys
from harkd.augment.draws import Draws
from harkd.augment.resolution import resample_linear
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform
from harkd.datasets import IGNORE, Signals
from harkd.datasets.card import Invariance
from harkd.errors import UsageError, unknown

AUGMENTERS: Mapping[str, frozenset[Invariance]] = {
    "AddNoise": frozenset(),
    "Convolve": frozenset(),
    "Crop": frozenset({"pace"}),
    "Drift": frozenset(),
    "Dropout": frozenset(),
    "Pool": frozenset(),
    "Quantize": frozenset(),
    "Resize": frozenset(),
    "Reverse": frozenset({"reversal"}),
    "TimeWarp": frozenset({"pace"}),
}
"""All of tsaug, with the invariance that each assumes."""
MOVES_TIME = frozenset({"Crop", "TimeWarp"})
"""What has to do the same to all sensors: they share its seed."""


@lru_cache
def load_tsaug() -> ModuleType:
    """The package tsaug. It imports a name that SciPy is about to drop, and SciPy's warning would end in the user's lap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import tsaug
    return tsaug


@dataclass(frozen=True)
class Step:
    """One augmenter of a pipeline: its class, the parameters that are not as by default, and tsaug's `* n` and `@ p`."""

    name: str
    parameters: Mapping[str, Any]
    repeats: int = 1
    prob: float = 1.0

    def __str__(self) -> str:
        text = f"{self.name}({', '.join(f'{key}={_literal(value)}' for key, value in self.parameters.items())})"
        text += f" * {self.repeats}" if self.repeats != 1 else ""
        return text + (f" @ {_literal(self.prob)}" if self.prob != 1 else "")

    @classmethod
    def of(cls, augmenter: Any) -> Step:
        """The step that a live augmenter is.

        Raises:
            UsageError: it is none of tsaug's ten, has a seed, or a parameter that cannot be written down.
        """
        name = type(augmenter).__name__
        if type(augmenter) is not getattr(load_tsaug(), name, None) or name not in AUGMENTERS:
            raise UsageError(f"{name} is none of tsaug's augmenters ({', '.join(AUGMENTERS)}): write it as a Transform of harkd")
        if augmenter.seed is not None:
            raise UsageError(f"{name} has the seed {augmenter.seed}; windows are augmented by their own keys, so leave it out")
        # tsaug's own list of parameters lacks some; the signature has them all.
        defaults = {key: p.default for key, p in inspect.signature(type(augmenter)).parameters.items()}
        values = {key: getattr(augmenter, key) for key in defaults if key not in ("repeats", "prob", "seed")}
        changed = {key: value for key, value in values.items() if value is not defaults[key] and value != defaults[key]}
        for key, value in changed.items():
            if not _is_literal(value):
                raise UsageError(f"{name}: {key} is {value!r}, which has no literal form; give numbers, words, tuples or lists")
        return cls(name, changed, augmenter.repeats, float(augmenter.prob))

    def build(self) -> Any:
        """A fresh augmenter that is always applied, once."""
        return getattr(load_tsaug(), self.name)(**self.parameters)


@dataclass(frozen=True)
class TsaugBridge(Transform):
    """Any augmenter or pipeline of the package tsaug (`pipeline`, as in Python), window by window on the CPU: slow.

        tsaug("TimeWarp(n_speed_change=5) + Drift(max_drift=0.2) @ 0.5 + Quantize(n_levels=10) * 2")

    Every window has its own seed, so its result depends on no other window. Of augmenters that repeat (`* 2`) one repetition is
    drawn, and what changes the length (Crop, Resize) is resampled linearly to the old one. tsaug works on physical units, and
    normalises by the range of each window. It is given the sensors with the same number of samples as one series, and each
    further number as another: whether an augmenter is applied (`@ 0.5`), and the draws of TimeWarp and Crop, are shared as far
    as tsaug lets them be (a Crop draws its place in samples). Windows of one sample stay as they are.

    Labels of samples are given to tsaug as a mask with a column per class. It interpolates masks and rounds them, so a sample
    between two classes may belong to neither, and is then ignored.

    The ops add_noise, convolve, crop, drift, dropout, pool, quantize, resize, reverse and speed_warp do the same natively.
    """

    pipeline: str = "TimeWarp() + Drift(max_drift=0.2)"
    HOST: ClassVar = True

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = parse_pipeline(self.pipeline)
        object.__setattr__(self, "pipeline", " + ".join(map(str, steps)))

    @classmethod
    def of(cls, tsaug_object: Any, p: float = 1.0) -> Self:
        """The op that does what a live augmenter or pipeline of tsaug does.

        Raises:
            UsageError: it is none of tsaug's, has a seed, or a parameter that cannot be written down.
        """
        parts = list(tsaug_object) if isinstance(tsaug_object, Iterable) else [tsaug_object]
        return cls(" + ".join(str(Step.of(part)) for part in parts), p=p)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The augmenters, from left to right."""
        return parse_pipeline(self.pipeline)

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset().union(*(AUGMENTERS[step.name] for step in self.steps))

    def check(self, spec: Spec) -> None:
        super().check(spec)
        always = [replace(step, prob=1.0) for step in self.steps]
        for length in {*spec.lengths.values()} - {1}:
            tried, _ = _augmented(always, np.arange(length, dtype=float)[None, :, None], None, 0, length)
            if not np.isfinite(tried).all():
                raise UsageError(f"tsaug makes {self.pipeline} of windows of {length} samples not finite; change the sizes in it")

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {"word": draws.words(1)[:, 0]}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for time in {signal.shape[2] for signal in x.values()} - {1}:
            names = [name for name, signal in x.items() if signal.shape[2] == time]
            widths = [x[name].shape[1] for name in names]
            series = torch.cat([x[name] for name in names], 1).detach().cpu().double().transpose(1, 2).numpy()
            rows = [
                _augmented(self.steps, row[None], None, word, time)[0]
                for row, word in zip(series, params["word"].tolist(), strict=True)
            ]
            kept = torch.cat([resample_linear(torch.from_numpy(row).transpose(1, 2), time) for row in rows])
            for name, signal in zip(names, kept.split(widths, 1), strict=True):
                moved[name] = signal.to(x[name]).contiguous()
        return moved

    def apply_dense(self, labels: Tensor, params: Params) -> Tensor:
        time = labels.shape[1]
        if time == 1:
            return labels
        rows = []
        for row, word in zip(labels.cpu().numpy(), params["word"].tolist(), strict=True):
            classes = np.unique(row)
            mask = _augmented(self.steps, np.zeros((1, time, 1)), (row[:, None] == classes).astype(int)[None], word, time)[1]
            assert mask is not None
            at = np.rint(np.linspace(0, mask.shape[1] - 1, time)).astype(int)
            inside = mask[0, at]
            rows.append(np.where(inside.max(1) > 0, classes[inside.argmax(1)], IGNORE))
        return torch.from_numpy(np.stack(rows)).to(labels)


def _augmented(
    steps: Sequence[Step], x: NDArray[Any], y: NDArray[Any] | None, word: int, time: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """One series (1, time, channel) and its mask (1, time, class) through a pipeline, keyed by the window's word.

    Whether an augmenter is applied is decided here: tsaug takes the same number for that and for the first that it draws.
    """
    for number, step in enumerate(steps):
        if keys.stream(word, number, "applied") / 2**64 >= step.prob:
            continue
        augmenter = step.build()
        parts = (word, number) if step.name in MOVES_TIME else (word, number, time)
        augmenter.seed = keys.stream(*parts, keys.stream(word, number) % step.repeats) % 2**32
        try:
            with np.errstate(all="ignore"):
                x, y = augmenter.augment(x, y) if y is not None else (augmenter.augment(x), None)
        except (ValueError, TypeError, RuntimeError, IndexError) as problem:
            raise UsageError(
                f"tsaug cannot do {step} to windows of {time} samples: {problem}; change the sizes in it"
            ) from problem
    return x, y


@lru_cache(maxsize=256)
def parse_pipeline(text: str) -> tuple[Step, ...]:
    """The augmenters that a text of tsaug's operators describes. Only their names and literals are understood; nothing is run.

    Raises:
        UsageError: says what in the text is not understood.
    """
    try:
        return tuple(_steps(ast.parse(text.strip(), mode="eval").body, text))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise UsageError(f"tsaug pipeline {text!r} is no expression: {getattr(problem, 'msg', problem)}") from problem


def _steps(node: ast.expr, text: str) -> list[Step]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_steps(node.left, text), *_steps(node.right, text)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.MatMult):
        inner, value = _steps(node.left, text), _value(node.right, text)
        if len(inner) > 1:
            raise _refused(node, text, "'*' and '@' stand after a single augmenter")
        if isinstance(node.op, ast.Mult):
            if type(value) is not int or value < 1:
                raise _refused(node.right, text, "after '*' stands how often it repeats, a whole number from 1 up")
            return [replace(inner[0], repeats=inner[0].repeats * value)]
        if type(value) not in (int, float) or not 0 < value <= 1:
            raise _refused(node.right, text, "after '@' stands a probability above 0, up to 1")
        return [replace(inner[0], prob=inner[0].prob * float(value))]
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise _refused(node, text, "expected an augmenter like Drift(max_drift=0.2), or several with '+'")
    if node.func.id not in AUGMENTERS:
        raise UsageError(f"tsaug pipeline {text!r}: {unknown('augmenter of tsaug', node.func.id, AUGMENTERS)}")
    if any(keyword.arg is None for keyword in node.keywords):
        raise _refused(node, text, "'**' is not understood")
    values = [_value(argument, text) for argument in node.args]
    options = {str(keyword.arg): _value(keyword.value, text) for keyword in node.keywords}
    try:
        step = Step.of(getattr(load_tsaug(), node.func.id)(*values, **options))
    except (TypeError, ValueError) as problem:
        raise _refused(node, text, str(problem)) from problem
    if step.name == "Quantize" and step.parameters.get("how") == "kmeans":
        raise _refused(
            node, text, "tsaug's k-means does not run with today's scikit-learn; take harkd's own op quantize(how=kmeans)"
        )
    return [step]


def _value(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as problem:
        raise _refused(node, text, "expected a number, a word in quotes, a tuple or a list") from problem


def _refused(node: ast.expr, text: str, reason: str) -> UsageError:
    return UsageError(f"tsaug pipeline {text!r}, at {ast.unparse(node)!r}: {reason}")


def _is_literal(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _literal(value: Any) -> str:
    """How a parameter is written; NumPy's numbers as Python's."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(float(value)) if isinstance(value, float) else repr(value)
