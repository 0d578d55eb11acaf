"""The data of a run: the windows that options ask for, in parts; and the check that nobody is scored who was learnt from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from harkd.datasets import Cut, Sees, Windows, load, read_card, split
from harkd.datasets.splits import usual
from harkd.errors import DataError, HarkdError, LeakError, UsageError, unknown
from harkd.evaluation import pseudonyms
from harkd.options import Data
from harkd.runs import Run
from harkd.schema import validate


@dataclass
class Parts:
    """The windows of a run by part, what stands for each subject in its results, and which split it is."""

    train: Windows
    val: Windows
    test: Windows
    codes: dict[str, str]
    split: str = ""

    def seen_by(self, sees: str) -> Parts:
        """The windows that have every sensor that a player sees.

        Raises:
            DataError: a part that has windows has none of those.
        """
        view = Sees.parse(sees, self.train.sensors, self.train.lengths)
        parts = {name: getattr(self, name) for name in ("train", "val", "test")}
        kept = {name: windows.having(view.sensors) for name, windows in parts.items()}
        for name, windows in parts.items():
            if len(windows) and not len(kept[name]):
                raise DataError(f"no {name} window of {windows.card.name} has every sensor of {view.text!r}")
        return replace(self, **kept)


def data_only(options: Data) -> Data:
    """The data that options of a run ask for, without everything else."""
    return Data(**{f.name: getattr(options, f.name) for f in fields(Data)})


def cut_of(data: Data) -> Cut | None:
    """The cut that options ask for, if it is not the card's."""
    if not data.window and not data.step:
        return None
    card = read_card(data.data).windows
    return Cut(data.window or card.length, data.step or card.step)


def windows_of(data: Data) -> Windows:
    """All windows of the data that options ask for, whatever the split."""
    return load(data.data, data.data_folder or None, cut_of(data), data.prepare)


def prepare(data: Data, windows: Windows | None = None) -> Parts:
    """Load and split the data that options ask for.

    Args:
        windows: what `windows_of` gave before, for another split of the same data.

    Raises:
        UsageError: the split is not understood, or it names a person: names stay out of run directories.
        DataError: the training people have one class only, or the files are not what the card says.
    """
    windows = windows_of(data) if windows is None else windows
    codes, text = pseudonyms(windows), usual(windows) if data.split == "official" else data.split
    name = text
    kind, _, who = text.partition(":")
    if kind == "loso" and not windows.card.subjects_are_codes:
        names = {code: name for name, code in codes.items()}
        if who in codes:
            raise UsageError(f"split {text!r}: names of people stay out of run directories; write loso:{codes[who]}")
        if who not in names:
            raise unknown("person", who, names)
        text = f"loso:{names[who]}"
    parts = Parts(*split(windows, text), codes, name)
    there = parts.train.labels.unique().tolist()
    if len(there) < 2:
        raise DataError(
            f"every training window of split {name!r} is {windows.classes[there[0]]!r}: at least two classes are needed; "
            f"harkd data check tells who has what"
        )
    return parts


def data_of(run: Run) -> Data:
    """The data that a finished run was trained on, as its options say."""
    stored = run.result()["options"]
    path = run.folder / "result.json"
    try:
        return validate(Data, {f.name: stored[f.name] for f in fields(Data)}, str(path))
    except (KeyError, TypeError):
        raise HarkdError(f"{path} is damaged (its options are incomplete): repeat the run") from None


def refuse_known(run: Run, parts: Parts, part: Literal["val", "test"], data: Data) -> None:
    """Refuse to score people whom a run has learnt from.

    Args:
        data: what the parts were prepared from. Of another data set than the run's nothing can be said.

    Raises:
        LeakError: `part` holds somebody from the training windows of the run or, for `test`, from its validation windows.
    """
    stored = data_of(run)
    if stored == data or run.result().get("terms", {}).get("data") != parts.train.card.name:
        return
    own = prepare(replace(stored, data=data.data, data_folder=data.data_folder))
    by_session = stored.split.startswith("session:") and data.split.startswith("session:")

    def who(windows: Windows) -> set[tuple[str, str]]:
        sessions = windows.sessions.tolist()
        return {(name, session if by_session else "") for name, session in zip(windows.subjects.tolist(), sessions, strict=True)}

    known = who(own.train) | (who(own.val) if part == "test" else set())
    shared = sorted({parts.codes[name] for name, _ in who(getattr(parts, part)) & known})
    if shared:
        raise LeakError(
            f"{run.folder} has learnt from {len(shared)} of the people in the {part} part of split {data.split!r} "
            f"({', '.join(shared)}); its own split is {stored.split!r}"
        )
