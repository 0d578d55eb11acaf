"""Splits into training, validation and test windows by subject or session, and the check that refuses a leak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from harkd.datasets.windows import Windows
from harkd.errors import LeakError, UsageError, unknown


@dataclass(frozen=True)
class Split:
    """Positions of the windows of each part. `by` says what no two parts may share: subject or session."""

    name: str
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    by: str = "subject"

    def of(self, windows: Windows) -> tuple[Windows, Windows, Windows]:
        """The three parts of `windows`, after the leakage check."""
        check(self, windows)
        return windows.subset(self.train), windows.subset(self.val), windows.subset(self.test)


def split(windows: Windows, text: str = "official") -> tuple[Windows, Windows, Windows]:
    """Training, validation and test windows.

    Args:
        text: `official` (or another split of the card; where it has none, see `usual`), `loso:SUBJECT` (leave one subject out),
            `kfold:K/I` (fold I of K over subjects, I from 0), `session:NAME` (one session is the test, or
            several: `session:NAME,NAME`).

    Raises:
        UsageError: the text is not understood.
        LeakError: two parts share a subject, a session or samples.
    """
    return parse(windows, text).of(windows)


def usual(windows: Windows) -> str:
    """What `official` stands for: the card's official split or, where it has none, the first of (at most) five subject folds.

    Raises:
        UsageError: there are fewer than three subjects.
    """
    if "official" in windows.card.splits:
        return "official"
    subjects = len(set(windows.subjects.tolist()))
    if subjects >= 3:
        return f"kfold:{min(5, subjects)}/0"
    sessions = sorted(set(windows.sessions.tolist()))
    hint = f"take a session for testing, like session:{sessions[-1]}" if len(sessions) > 1 else "record more people"
    raise UsageError(
        f"{windows.card.name} has no official split, and its subjects ({subjects}) are too few for one by subject: {hint}"
    )


def parse(windows: Windows, text: str) -> Split:
    """The split that `text` describes; see `split`."""
    if text == "official":
        text = usual(windows)
    kind, _, argument = text.partition(":")
    if kind in windows.card.splits and not argument:
        parts = windows.card.splits[kind]
        return by_subject(windows, parts.train, parts.val, parts.test, name=text)
    if kind == "loso" and argument:
        return leave_one_subject_out(windows, argument)
    if kind == "session" and argument:
        return cross_session(windows, argument)
    if kind == "kfold" and argument.count("/") == 1:
        folds, fold = argument.split("/")
        if folds.isdecimal() and fold.isdecimal() and int(fold) < int(folds):
            return subject_kfold(windows, int(folds), int(fold))
        raise UsageError(f"split {text!r}: write kfold:K/I with I from 0 to K-1")
    raise unknown("split", text, [*windows.card.splits, "loso:SUBJECT", "kfold:K/I", "session:NAME"])


def subjects_of(windows: Windows) -> list[str]:
    """The subjects, numbers in numeric order."""
    return sorted(
        set(windows.subjects.tolist()),
        key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name),
    )


def by_subject(
    windows: Windows, train: Sequence[str], val: Sequence[str], test: Sequence[str], name: str = "by_subject"
) -> Split:
    """A split by lists of subjects."""
    known = set(windows.subjects.tolist())
    for subject in (*train, *val, *test):
        if subject not in known:
            raise unknown("subject", subject, known)
    at = [np.flatnonzero(np.isin(windows.subjects, list(part))) for part in (train, val, test)]
    return Split(name, at[0], at[1], at[2])


def leave_one_subject_out(windows: Windows, subject: str, validation: int = 2) -> Split:
    """One subject tests; the next `validation` subjects (cyclically) validate; the rest train."""
    order = subjects_of(windows)
    if subject not in order:
        raise unknown("subject", subject, order)
    return _held_out(windows, [subject], order, validation, f"loso:{subject}")


def subject_kfold(windows: Windows, folds: int, fold: int, validation: int | None = None) -> Split:
    """Fold `fold` of `folds`: each subject tests exactly once over the folds.

    Validation takes the next subjects, by default half as many as test.
    """
    order = subjects_of(windows)
    if not 2 <= folds <= len(order):
        raise UsageError(f"{folds} folds over {len(order)} subjects: choose 2 to {len(order)}")
    test = order[fold::folds]
    return _held_out(windows, test, order, max(1, len(test) // 2) if validation is None else validation, f"kfold:{folds}/{fold}")


def _held_out(windows: Windows, test: Sequence[str], order: Sequence[str], validation: int, name: str) -> Split:
    after = order.index(test[0]) + 1
    rest = [subject for subject in (*order[after:], *order[:after]) if subject not in test]
    if len(rest) <= validation:
        raise UsageError(f"split {name!r}: {len(order)} subjects are too few to test, validate ({validation}) and train")
    return by_subject(windows, rest[validation:], rest[:validation], test, name)


def cross_session(windows: Windows, session: str) -> Split:
    """One session of every subject (or several, with commas between) tests; the first other one validates if two are left."""
    sessions = sorted(set(windows.sessions.tolist()))
    test = session.split(",")
    for name in test:
        if name not in sessions:
            raise unknown("session", name, sessions)
    others = [name for name in sessions if name not in test]
    val, train = (others[:1], others[1:]) if len(others) > 1 else ([], others)
    at = [np.flatnonzero(np.isin(windows.sessions, part)) for part in (train, val, test)]
    return Split(f"session:{session}", at[0], at[1], at[2], by="session")


def check(split: Split, windows: Windows) -> None:
    """Refuse a split without training windows, or whose parts share a subject (or session), a window, or samples of a recording.

    Raises:
        LeakError: names the two parts and what they share.
        UsageError: there is nothing to train on.
    """
    if not len(split.train):
        raise UsageError(f"split {split.name!r} leaves no training windows")
    parts = {"train": split.train, "val": split.val, "test": split.test}
    for (one, left), (other, right) in combinations(parts.items(), 2):
        if split.by == "subject":
            shared = sorted(set(windows.subjects[left].tolist()) & set(windows.subjects[right].tolist()))
            if shared:
                raise LeakError(
                    f"split {split.name!r} leaks: {one} and {other} share {len(shared)} subjects, the first is {shared[0]!r}"
                )
        else:
            pairs = [set(zip(windows.subjects[p].tolist(), windows.sessions[p].tolist(), strict=True)) for p in (left, right)]
            shared_pairs = sorted(pairs[0] & pairs[1])
            if shared_pairs:
                subject, session = shared_pairs[0]
                raise LeakError(f"split {split.name!r} leaks: {one} and {other} share session {session!r} of subject {subject!r}")
        _check_samples(split.name, one, other, windows, left, right)


def _check_samples(name: str, one: str, other: str, windows: Windows, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    """No sample of any sensor may be in windows of two parts (a subject under two names would slip past the names)."""
    for sensor, starts in windows.starts.items():
        begin = starts.cpu()[torch.as_tensor(right)].sort().values
        if not len(begin) or not len(left):
            continue
        at = starts.cpu()[torch.as_tensor(left)]
        # The first window on the right that ends after the left one begins: does it begin before the left one ends?
        length = windows.lengths[sensor]
        first = torch.searchsorted(begin, at - length, right=True).clamp_max(len(begin) - 1)
        overlap = (begin[first] < at + length) & (begin[first] + length > at)
        if overlap.any():
            recording = str(windows.recordings[left[int(overlap.nonzero()[0])]])
            raise LeakError(f"split {name!r} leaks: windows of {one} and {other} overlap in recording {recording!r}")
