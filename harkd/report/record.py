"""What a finished run's files say, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harkd.errors import HarkdError, UsageError
from harkd.evaluation import Evaluation
from harkd.export.verification import Verification
from harkd.report.tree import Role
from harkd.runs import Run
from harkd.schema import validate

EXPORTED = "export/verification.json"


@dataclass(frozen=True)
class Part:
    """Size of one part of a split."""

    windows: int = 0
    subjects: int = 0


@dataclass(frozen=True)
class SplitSizes:
    """A split by subject, and how much is in it."""

    name: str
    train: Part = Part()
    val: Part = Part()
    test: Part = Part()


@dataclass(frozen=True)
class Terms:
    """The data's terms of use."""

    data: str
    synthetic: bool = False
    citation: str = ""
    name: str = ""
    commercial: bool | None = None
    redistribute: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """What `result.json` of a run says. Keys that a report does not use are left alone."""

    role: Role
    label: str
    net: str
    seed: int
    parameters: int
    weights_bytes: int
    updates: int
    epochs: int
    split: SplitSizes
    terms: Terms
    test: Evaluation | None = None
    method: str = ""
    best_epoch: int | None = None
    selected: str = "last"
    augment: str = "none"
    sees: str = "all"
    teacher: str | None = ""
    teacher_identity: str = ""
    validation: Evaluation | None = None
    options: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    fingerprint: str = ""


@dataclass(frozen=True)
class Epoch:
    """One record of a run's history: mean loss terms, scores of the trained player on validation windows, and of each class the
    share of its training windows that a curriculum taught; empty: all of them."""

    terms: dict[str, float]
    scores: dict[str, float]
    taught: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trained:
    """A run as the report sees it."""

    where: str
    result: Result
    test: Evaluation
    history: tuple[Epoch, ...]
    exported: Verification | None = None

    @property
    def seed(self) -> int:
        return self.result.seed

    def settings(self) -> dict[str, Any]:
        """Options by name, `method_options.weight` for nested ones, without seeds and folders."""
        flat = _flat(self.result.options)
        return {name: value for name, value in flat.items() if not name.endswith(("seed", "folder"))}

    @classmethod
    def read(cls, run: Run) -> Trained:
        """Read a run directory.

        Raises:
            HarkdError: it is damaged or incomplete; names the file and the key.
            UsageError: the run was not tested.
        """
        path = run.folder / "result.json"
        result = validate(Result, run.read_json("result.json"), str(path))
        test = result.test
        if test is None:
            raise UsageError(f"{run.folder}: its split {result.split.name!r} has no test subjects, so there is nothing to report")
        _check_shape(test, f"{path} is damaged (test", "repeat the run")
        found = exported(run, test)
        try:
            return cls(str(run.folder), result, test, tuple(_epoch(record) for record in run.history()), found)
        except (OSError, ValueError, AttributeError, TypeError, KeyError) as problem:
            raise HarkdError(f"{run.folder / 'history.jsonl'} is damaged ({problem}): repeat the run") from None


def exported(run: Run, test: Evaluation) -> Verification | None:
    """What was exported of a run whose scores are `test`; None if nothing was.

    Raises:
        HarkdError: the file is damaged, or is about other windows.
    """
    path = run.folder / EXPORTED
    if not path.exists():
        return None
    found = validate(Verification, run.read_json(EXPORTED), str(path))
    again = "export the run again"
    if missing := sorted(found.ram.keys() - found.files.keys()):
        raise HarkdError(f"{path} is damaged (ram: {missing[0]!r} is not among its files): {again}")
    for name, scores in (("float", found.float), ("int8", found.int8)):
        if scores is not None:
            _check_shape(scores, f"{path} is damaged ({name}", again)
            if _windows(scores) != _windows(test):
                raise HarkdError(f"{path}: {name} has other classes or test windows than {run.folder / 'result.json'}: {again}")
    if (found.float is None) != (found.int8 is None):
        raise HarkdError(f"{path} is damaged (it needs the scores of both float and int8, or of neither): {again}")
    return found


def _check_shape(scores: Evaluation, where: str, remedy: str) -> None:
    wide = len(scores.classes)
    if len(scores.confusion) != wide or any(len(row) != wide for row in scores.confusion) or not scores.subjects:
        raise HarkdError(f"{where}: the confusion table needs {wide} rows and columns, and subjects): {remedy}")
    if len(scores.class_f1) != wide:
        raise HarkdError(f"{where}: class_f1 has {len(scores.class_f1)} values for {wide} classes): {remedy}")


def _windows(scores: Evaluation) -> tuple[object, ...]:
    """What two evaluations on the same windows have in common."""
    return scores.classes, tuple((score.subject, score.windows) for score in scores.subjects)


def _epoch(record: Any) -> Epoch:
    scores = record.get("scores") or {}
    player: Mapping[str, Any] = scores.get("student") or next(iter(scores.values()), {})
    terms = {name: float(value) for name, value in record.get("terms", {}).items() if name != "gradient norm"}
    taught = tuple(map(float, (record.get("taught") or {}).get("classes", ())))
    return Epoch(terms, {name: float(value) for name, value in player.items()}, taught)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
