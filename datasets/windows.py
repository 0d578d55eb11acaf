"""Windows: continuous signals plus start positions, so that overlap costs nothing and a batch is an index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
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
        sensors: by name, as the signals are now: preparation may have changed the card's.
        present: (n,) bool for each sensor that some windows lack; gathered, those windows are zero there.
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
    sensors: Mapping[str, Sensor]
    targets: Mapping[str, Target] = field(default_factory=dict)
    present: Signals = field(default_factory=dict)
    source: Tensor | None = None

    @classmethod
    def cut(
        cls, recordings: Sequence[Recording], card: Card, cut: Cut | None = None, sensors: Sequence[Sensor] | None = None
    ) -> Windows:
        """Cut recordings into windows that never cross the end of a labelled segment.

        Args:
            cut: length and step in samples of the first sensor; by default the card's.
            sensors: what the recordings hold, if preparation changed the card's.

        Raises:
            DataError: no window fits, naming the longest segment; or a recording does not fit its sensors (`Recording.check`).
        """
        cut = cut or card.windows
        by_name = {sensor.name: sensor for sensor in sensors or card.sensors}
        rate = next(iter(by_name.values())).rate
        lengths = {name: max(1, round(cut.length * s.rate / rate)) for name, s in by_name.items()}
        offsets = dict.fromkeys(by_name, 0)
        starts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in by_name}
        there: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in by_name}
        ids, names, targets, longest = [], [], [], 0
        dense: dict[str, list[NDArray[np.int64]]] = {}
        for recording in recordings:
            recording.check(by_name)
            onset, stop = _clock(recording, by_name)
            late = max(recording.extent(by_name[name])[0] for name in recording.signals)
            first = ceil((late - onset) * rate - 1e-6)  # the first moment that all its sensors cover
            for segment in recording.segments or (Segment(onset, stop),):
                low = max(0, first, round((segment.start - onset) * rate))
                high = min(round((stop - onset) * rate), round((segment.stop - onset) * rate))
                longest = max(longest, high - low)
                local = np.arange(low, high - cut.length + 1, cut.step)
                placed = {n: _local_starts(local, onset, rate, by_name[n], recording) for n in recording.signals}
                fits = np.ones(len(local), bool)
                for name, at in placed.items():
                    fits &= (at >= 0) & (at + lengths[name] <= recording.signals[name].shape[1])
                count = int(fits.sum())
                for name in by_name:
                    starts[name].append(placed[name][fits] + offsets[name] if name in placed else np.zeros(count, np.int64))
                    there[name].append(np.full(count, name in placed))
                ids.append(content_ids(card.name, recording.name, local[fits]))
                names += [(recording.subject, recording.name, recording.session)] * count
                targets += [segment.targets] * count
                for name, labels in recording.dense.items():
                    dense.setdefault(name, []).append(labels[local[fits][:, None] + np.arange(cut.length)])
            for name, signal in recording.signals.items():
                offsets[name] += signal.shape[1]
        if not names:
            raise DataError(
                f"{card.name}: no window of {cut.length} samples fits; the longest labelled stretch has {longest} samples "
                f"({longest / rate:.2f} s): cut shorter windows"
            )
        subjects, record, sessions = (np.array(column) for column in zip(*names, strict=True))
        present = {name: np.concatenate(parts) for name, parts in there.items()}
        kept = [name for name in by_name if present[name].any()]
        windows = cls(
            card=card,
            signals={n: torch.from_numpy(_joined([r.signals[n] for r in recordings if n in r.signals])) for n in kept},
            starts={name: torch.from_numpy(np.concatenate(starts[name])) for name in kept},
            lengths={name: lengths[name] for name in kept},
            ids=torch.from_numpy(np.concatenate(ids)),
            subjects=subjects,
            recordings=record,
            sessions=sessions,
            sensors={name: by_name[name] for name in kept},
            targets=_collect_targets(card, targets, dense),
            present={name: torch.from_numpy(present[name]) for name in kept if not present[name].all()},
        )
        if len(torch.unique(windows.ids)) < len(windows):
            raise DataError(f"{card.name}: two windows have the same recording name and start; recording names must differ")
        return windows

    def __len__(self) -> int:
        return len(self.ids)

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
            x = every_start[self.starts[name][index]]
            if name in self.present:
                x = torch.where(self.present[name][index][:, None, None], x, torch.zeros((), dtype=x.dtype, device=x.device))
            gathered[name] = x
        return gathered

    def having(self, sensors: Iterable[str]) -> Windows:
        """The windows that lack none of these sensors."""
        lacked = [self.present[name] for name in sensors if name in self.present]
        if not lacked:
            return self
        kept = self.subset(torch.stack(lacked).all(0).nonzero()[:, 0])
        return replace(kept, present={name: there for name, there in kept.present.items() if not bool(there.all())})

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
            present={name: there[at] for name, there in self.present.items()},
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
            present={name: there.to(device) for name, there in self.present.items()},
            source=None if self.source is None else self.source.to(device),
        )


def _joined(signals: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(signals, axis=1, dtype=np.float32, casting="same_kind")


def _clock(recording: Recording, sensors: Mapping[str, Sensor]) -> tuple[float, float]:
    """Where the windows of a recording are counted from, and where they end, in seconds: its first sensor says it."""
    first = next(iter(sensors))
    if first in recording.signals:
        return recording.extent(sensors[first])
    extents = [recording.extent(sensors[name]) for name in recording.signals]
    return min(start for start, _ in extents), max(stop for _, stop in extents)


def _local_starts(local: NDArray[np.int64], onset: float, rate: float, sensor: Sensor, recording: Recording) -> NDArray[np.int64]:
    """Where windows that start at samples `local` of a clock start in a sensor, by time."""
    moments = local / rate + onset - recording.onsets.get(sensor.name, 0.0)
    return np.rint(moments * sensor.rate).astype(np.int64)


def content_ids(data: str, recording: str, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) ids of the windows of a recording that begin at these samples."""
    digest = hashlib.blake2b(f"{data}\0{recording}".encode(), digest_size=8).digest()
    base = np.uint64(int.from_bytes(digest, "little"))
    # An odd factor keeps the ids of one recording distinct; the product wraps on purpose.
    with np.errstate(over="ignore"):
        return (base + starts.astype(np.uint64) * _ODD).view(np.int64)


def class_shares(labels: Tensor, classes: int) -> Tensor:
    """(..., class) how much a sample counts for each class.

    Args:
        labels: class numbers (...,), which count for none where they are `IGNORE`; or shares already, (..., class).
    """
    if labels.is_floating_point():
        return labels.float()
    return (labels.unsqueeze(-1) == torch.arange(classes, device=labels.device)).float()


def class_means(labels: Tensor, values: Tensor, classes: int) -> Tensor:
    """(class,) mean of values (n,) over the samples of each class (n,); zero for a class without samples."""
    member = class_shares(labels, classes).to(values.dtype)  # a product, for CUDA adds up a bincount in any order
    return values @ member / member.sum(0).clamp_min(1)


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
