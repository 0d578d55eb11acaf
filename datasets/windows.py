"""Windows: continuous signals plus start positions, so that overlap costs nothing and a batch is an index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harkd.datasets.card import Card, Cut
from harkd.datasets.recording import Recording, Segment, Sensor
from harkd.errors import DataError, unknown

IGNORE = -100
"""Class number of samples without a label (the value that torch's cross-entropy ignores)."""

Signals = dict[str, Tensor]
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Target:
    """One target of every window.

    `class`: (n,) int64; `dense`: (n, time) int64 with `IGNORE` where unknown; `value`: (n, d) float32.
    """

    kind: Literal["class", "dense", "value"]
    values: Tensor
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Windows:
    """Labelled windows over continuous signals.

    Attributes:
        card: the data set's card.
        signals: per sensor (channel, time) float32 in physical units, all recordings one after the other.
        starts: per sensor (n,) the first sample of each window; paired sensors share the window axis.
        lengths: per sensor the samples of a window.
        ids: (n,) int64 content ids, a hash of data set, recording and start: subsets and folds do not change them.
        subjects, recordings, sessions: (n,) names.
        targets: by name; empty for data without labels.
        source: (n,) ids of the windows that derived windows were made from, or None.
    """

    card: Card
    signals: Signals
    starts: Signals
    lengths: Mapping[str, int]
    ids: Tensor
    subjects: NDArray[np.str_]
    recordings: NDArray[np.str_]
    sessions: NDArray[np.str_]
    targets: Mapping[str, Target] = field(default_factory=dict)
    source: Tensor | None = None

    @classmethod
    def cut(cls, recordings: Sequence[Recording], card: Card, cut: Cut | None = None) -> Windows:
        """Cut recordings into windows that never cross the end of a labelled segment.

        Args:
            cut: length and step in samples of the card's first sensor; by default the card's.

        Raises:
            DataError: no window fits, naming the longest segment; or a recording does not fit the card (`Recording.check`).
        """
        cut = cut or card.windows
        sensors = {sensor.name: sensor for sensor in card.sensors}
        first = card.sensors[0]
        lengths = {name: max(1, round(cut.length * s.rate / first.rate)) for name, s in sensors.items()}
        offsets = dict.fromkeys(sensors, 0)
        starts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in sensors}
        ids, names, targets, longest = [], [], [], 0
        dense: dict[str, list[NDArray[np.int64]]] = {}
        for recording in recordings:
            recording.check(sensors)
            total = recording.signals[first.name].shape[1]
            onset = recording.onsets.get(first.name, 0.0)
            for segment in recording.segments or (Segment(onset, onset + total / first.rate),):
                low = max(0, round((segment.start - onset) * first.rate))
                high = min(total, round((segment.stop - onset) * first.rate))
                longest = max(longest, high - low)
                local = np.arange(low, high - cut.length + 1, cut.step)
                placed = {n: _local_starts(local, first, s, recording) for n, s in sensors.items()}
                fits = np.ones(len(local), bool)
                for name, at in placed.items():
                    fits &= (at >= 0) & (at + lengths[name] <= recording.signals[name].shape[1])
                for name, at in placed.items():
                    starts[name].append(at[fits] + offsets[name])
                ids.append(_content_ids(card.name, recording.name, local[fits]))
                names += [(recording.subject, recording.name, recording.session)] * int(fits.sum())
                targets += [segment.targets] * int(fits.sum())
                for name, labels in recording.dense.items():
                    dense.setdefault(name, []).append(labels[local[fits][:, None] + np.arange(cut.length)])
            for name in sensors:
                offsets[name] += recording.signals[name].shape[1]
        if not names:
            raise DataError(
                f"{card.name}: no window of {cut.length} samples fits; the longest labelled stretch has {longest} samples "
                f"({longest / first.rate:.2f} s): cut shorter windows"
            )
        subjects, record, sessions = (np.array(column) for column in zip(*names, strict=True))
        windows = cls(
            card=card,
            signals={n: torch.from_numpy(_joined([r.signals[n] for r in recordings])) for n in sensors},
            starts={name: torch.from_numpy(np.concatenate(parts)) for name, parts in starts.items()},
            lengths=lengths,
            ids=torch.from_numpy(np.concatenate(ids)),
            subjects=subjects,
            recordings=record,
            sessions=sessions,
            targets=_collect_targets(card, targets, dense),
        )
        if len(torch.unique(windows.ids)) < len(windows):
            raise DataError(f"{card.name}: two windows have the same recording name and start; recording names must differ")
        return windows

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def sensors(self) -> dict[str, Sensor]:
        return {sensor.name: sensor for sensor in self.card.sensors if sensor.name in self.signals}

    @property
    def device(self) -> torch.device:
        return self.ids.device

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.target.classes

    @property
    def labels(self) -> Tensor:
        """(n,) class numbers of the card's target."""
        return self.target(self.card.target.name).values

    def target(self, name: str) -> Target:
        """A target by name; asking for one that windows do not have is an error."""
        if not self.targets:
            raise DataError(f"these windows of {self.card.name} carry no targets; this needs labelled recordings")
        if name not in self.targets:
            raise unknown("target", name, self.targets)
        return self.targets[name]

    def gather(self, index: Tensor) -> Signals:
        """The windows at positions `index` (batch,): per sensor (batch, channel, time), a copy of just these windows."""
        gathered = {}
        for name, signal in self.signals.items():
            # One strided view (start, channel, time) without data: indexing it copies whole rows, which is several times
            # faster than gathering sample by sample.
            every_start = signal.unfold(1, self.lengths[name], 1).transpose(0, 1)
            gathered[name] = every_start[self.starts[name][index]]
        return gathered

    def positions(self, ids: Tensor) -> Tensor:
        """Positions of content ids; unknown ids are an error."""
        order = torch.argsort(self.ids)
        found = order[torch.searchsorted(self.ids[order], ids).clamp_max(len(self) - 1)]
        if not torch.equal(self.ids[found], ids):
            raise DataError(f"{int((self.ids[found] != ids).sum())} ids are not among these {len(self)} windows")
        return found

    def subset(self, index: Tensor | NDArray[np.int64]) -> Windows:
        """The windows at `index`, over the same signals."""
        at = torch.as_tensor(index, device=self.device)
        host = at.cpu().numpy()
        return replace(
            self,
            starts={name: start[at] for name, start in self.starts.items()},
            ids=self.ids[at],
            subjects=self.subjects[host],
            recordings=self.recordings[host],
            sessions=self.sessions[host],
            targets={name: replace(t, values=t.values[at]) for name, t in self.targets.items()},
            source=None if self.source is None else self.source[at],
        )

    def to(self, device: torch.device | str) -> Windows:
        """The same windows, resident on `device`."""
        return replace(
            self,
            signals={name: signal.to(device) for name, signal in self.signals.items()},
            starts={name: start.to(device) for name, start in self.starts.items()},
            ids=self.ids.to(device),
            targets={name: replace(t, values=t.values.to(device)) for name, t in self.targets.items()},
            source=None if self.source is None else self.source.to(device),
        )


def _joined(signals: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(signals, axis=1, dtype=np.float32, casting="same_kind")


def _local_starts(local: NDArray[np.int64], first: Sensor, sensor: Sensor, recording: Recording) -> NDArray[np.int64]:
    """Where windows that start at `local` samples of the first sensor start in another sensor, by time."""
    if sensor.name == first.name:
        return local
    seconds = local / first.rate + recording.onsets.get(first.name, 0.0) - recording.onsets.get(sensor.name, 0.0)
    return np.rint(seconds * sensor.rate).astype(np.int64)


def _content_ids(data: str, recording: str, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    digest = hashlib.blake2b(f"{data}\0{recording}".encode(), digest_size=8).digest()
    base = np.uint64(int.from_bytes(digest, "little"))
    # An odd factor keeps the ids of one recording distinct; the product wraps on purpose.
    with np.errstate(over="ignore"):
        return (base + starts.astype(np.uint64) * _ODD).view(np.int64)


def _collect_targets(
    card: Card, per_window: list[Mapping[str, int | NDArray[np.float32]]], dense: dict[str, list[NDArray[np.int64]]]
) -> dict[str, Target]:
    targets = {}
    for name in dict.fromkeys(key for labels in per_window for key in labels):
        if any(name not in labels for labels in per_window):
            raise DataError(f"{card.name}: target {name!r} is missing for some segments; label all of them or none")
        values = np.stack([labels[name] for labels in per_window])
        if values.ndim > 1:
            targets[name] = Target("value", torch.from_numpy(values.astype(np.float32)))
            continue
        if values.dtype.kind not in "iub":
            raise DataError(f"{card.name}: target {name!r} holds {values[0]}: classes are whole numbers, values are vectors")
        classes = card.target.classes if name == card.target.name else tuple(map(str, range(int(values.max()) + 1)))
        _check_classes(card, name, values, len(classes))
        targets[name] = Target("class", torch.from_numpy(values.astype(np.int64)), classes)
    for name, parts in dense.items():
        if sum(map(len, parts)) != len(per_window):
            raise DataError(f"{card.name}: dense target {name!r} is missing for some recordings; label all of them or none")
        values = np.concatenate(parts, dtype=np.int64, casting="same_kind")
        classes = card.target.classes if name == card.target.name else ()
        _check_classes(card, name, values[values != IGNORE], len(classes))
        targets[name] = Target("dense", torch.from_numpy(values), classes)
    return targets


def _check_classes(card: Card, name: str, values: NDArray[np.int64], classes: int) -> None:
    bad = values[(values < 0) | (values >= classes)] if classes else values[values < 0]
    if len(bad):
        raise DataError(f"{card.name}: target {name!r} holds class {bad[0]}, expected 0..{classes - 1 if classes else ''}")
