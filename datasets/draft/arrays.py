"""Sensors in files of arrays (.mat, .npz, .npy) and in EDF files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harkd.datasets.draft.notes import Notes, some
from harkd.datasets.draft.streams import Stream, by_number, singles
from harkd.datasets.draft.words import is_device, kind, parts, role
from harkd.datasets.edf import read_edf
from harkd.datasets.matlab import read_mat
from harkd.datasets.npz import read_npz


def arrays_in(path: Path) -> dict[str, Any]:
    """All arrays of a file by name."""
    content: Mapping[str, Any] = read_mat(path) if path.suffix.lower() == ".mat" else read_npz(path)
    return {name: content[name] for name in content if not name.startswith("__")}


def from_arrays(
    contents: Sequence[Mapping[str, Any]], joints: Sequence[str], notes: Notes
) -> tuple[list[Stream], dict[str, str], str, dict[str, list[str]]]:
    """The sensors in some files alike; the variables that are keys; that of time; the words of each key's variable."""
    names = [name for name in contents[0] if all(name in content for content in contents)]
    first = {name: contents[0][name] for name in names}
    shapes = {name: [np.shape(content.get(name, ())) for content in contents] for name in first}
    numeric = {name: np.asarray(value) for name, value in first.items() if not isinstance(value, str | list | dict)}
    signals = {
        name: x for name, x in numeric.items() if x.dtype.kind in "iuf" and sum(n > 1 for n in x.shape) >= 2 and x.size > 20
    }
    flat = {name: x for name, x in numeric.items() if name not in signals and x.size > 1}
    windows = _window_axes(signals, flat)
    streams: list[Stream] = []
    for name, x in signals.items():
        if windows and name not in windows:
            notes.tell(f"not used: the array {name!r} of shape {x.shape}")
            continue
        axes = _axes(x, shapes[name], windows.get(name))
        if axes is None:
            notes.ask("files.axes", f"the array {name!r} has the shape {x.shape}: which axis is what?")
            continue
        streams += _from_array(name, axes, contents, joints, notes)
    keys: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    time = ""
    texts = {name: value for name, value in first.items() if name not in signals}
    for name, value in texts.items():
        words = [role(word) for word in parts(name)]
        wanted = next(filter(None, words), "label" if parts(name)[:1] == ["y"] else "")
        size = np.size(value) if not isinstance(value, str) else 1
        count = next((signals[each].shape[axis] for each, axis in windows.items()), 1)
        right = size == count
        if wanted in ("subject", "session", "label", "recording") and right and wanted not in keys:
            keys[wanted] = name
            found = {str(v) for content in contents for v in np.ravel(np.asarray(content[name])).tolist()}
            values[wanted] = sorted(found)
            notes.guess("files.keys", f"{wanted}: the variable {name!r} holds {some(values[wanted])}")
        elif parts(name) and parts(name)[0] in ("time", "t", "timestamp", "timestamps") and not windows and np.size(value) > 3:
            time = name
    return streams, keys, time, values


def _window_axes(signals: Mapping[str, NDArray[Any]], flat: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Which axis is that of windows, for arrays that hold many: a flat array, such as labels, is as long."""
    sizes = {x.size for x in flat.values()}
    found = {name: [n for n in range(3) if x.shape[n] in sizes] for name, x in signals.items() if x.ndim == 3}
    return {name: axes[0] for name, axes in found.items() if axes}


def _axes(x: NDArray[Any], shapes: Sequence[tuple[int, ...]], window: int | None) -> tuple[str, ...] | None:
    if window is not None:
        rest = [n for n in range(3) if n != window]
        time = max(rest, key=lambda n: (x.shape[n], -n))
        return tuple("window" if n == window else "time" if n == time else "channel" for n in range(3))
    varied = [n for n in range(x.ndim) if len({shape[n] for shape in shapes if len(shape) == x.ndim}) > 1]
    if x.ndim == 2:
        time = varied[0] if len(varied) == 1 else int(np.argmax(x.shape))
        return ("time", "channel") if time == 0 else ("channel", "time")
    if x.ndim == 3 and 3 in x.shape:
        axis = next((n for n in range(3) if x.shape[n] == 3 and n not in varied), None)
        rest = [n for n in range(3) if n != axis]
        if axis is None:
            return None
        time = varied[0] if len(varied) == 1 else max(rest, key=lambda n: x.shape[n])
        return tuple("axis" if n == axis else "time" if n == time else "joint" for n in range(3))
    return None


def _from_array(
    name: str, axes: tuple[str, ...], contents: Sequence[Mapping[str, Any]], joints: Sequence[str], notes: Notes
) -> list[Stream]:
    order = [axis for axis in ("window", "joint", "axis", "channel", "time") if axis in axes]
    data = []
    for content in contents:
        x = np.asarray(content[name], np.float64).transpose([axes.index(axis) for axis in order])
        if "window" in axes:
            x = x[:200].transpose(1, 0, 2).reshape(x.shape[1], -1)
        data.append(x.reshape(-1, x.shape[-1]))
    count = len(data[0])
    plain = axes == ("time", "channel")
    if "joint" in axes:
        known = [joint for joint in joints if joint] if len(joints) == count // 3 else []
        if not known:
            notes.ask("sensors.skeleton.channels", "give the joints their names: shoulder_left_x, shoulder_left_y ...")
        named = known or [f"joint{n + 1}" for n in range(count // 3)]
        channels = tuple(f"{joint}_{axis}" for joint in named for axis in "xyz")
        return [Stream("skeleton", channels, variable=name, axes=axes, data=data)]
    known_kind = next((found for word in parts(name) if (found := kind(word))), "")
    words = tuple(word for word in parts(name) if is_device(word) and not kind(word))
    streams = by_number(list(range(count)))
    for stream in streams:
        stream.variable, stream.axes, stream.words = name, () if plain else axes, words
        stream.data = [x[list(map(int, stream.columns))] for x in data]
        if len(streams) == 1:
            stream.columns = ()
            if known_kind:
                stream.kind = known_kind
    return streams


def from_edf(paths: Sequence[Path], notes: Notes) -> tuple[list[Stream], list[str], bool]:
    """The sensors of EDF files; the words of their annotations; whether these have a duration."""
    first = read_edf(paths[0])
    streams: list[Stream] = []
    for rate in dict.fromkeys(first.rates.values()):
        labels = [label for label in first.signals if first.rates[label] == rate]
        found, rest = singles([(label, label) for label in labels])
        streams += [_edf_stream(s, rate, first, notes) for s in found]
        if rest:
            named = [Stream("signal", (label.lower(),), (label,), tuple(parts(label))) for label in rest]
            streams += [_edf_stream(s, rate, first, notes) for s in named]
    marks: Counter[str] = Counter()
    lasting = True
    for path in paths:
        annotations = (first if path == paths[0] else read_edf(path)).annotations
        marks.update(a.text for a in annotations)
        lasting &= all(a.duration > 0 for a in annotations)
    return streams, sorted(marks), lasting


def _edf_stream(stream: Stream, rate: float, file: Any, notes: Notes) -> Stream:
    stream.rate = rate
    written = {file.units[str(column)] for column in stream.columns}
    unit = written.pop() if len(written) == 1 else ""
    stream.data = [np.stack([file.signals[str(column)] for column in stream.columns])]
    if unit.lower() in ("uv", "µv", "μv", "mv", "v") and stream.kind in ("eeg", "ecg", "emg", "eog"):
        stream.units = "uV"
        stream.factor = {"mv": 1e3, "v": 1e6}.get(unit.lower(), 1.0)
    elif unit:
        stream.units = unit
    return stream
