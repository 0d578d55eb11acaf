"""Drawings of recordings: one window of every class, in the stretch of the recording that it was cut from.

Sensors of up to nine channels are curves over time; more channels are traces above each other; skeletons are stick figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harkd.datasets.recording import Sensor
from harkd.datasets.windows import Windows
from harkd.report.drawing import COLOURS, INK, plain

Signal = NDArray[np.float32]

CURVES = 9
"""Up to so many channels share one pair of axes."""
_DASHES: tuple[str | tuple[float, tuple[float, ...]], ...] = ("-", (0, (4, 1.4)), (0, (1.2, 1.2)))


@dataclass(frozen=True)
class Palette:
    """Colours to draw in; `channels` are told apart by dashes, too, when there are more channels than colours."""

    ink: str
    channels: tuple[str, str, str]
    paper: str = "none"


PAGE = Palette(INK, (COLOURS["distilled"], COLOURS["alone"], COLOURS["teacher"]))
"""Colours that become the page's own, in light and dark."""
LIGHT = Palette("#1d1c1a", ("#0a66ad", "#b8500c", "#6d6a65"), "#fdfcf9")
DARK = Palette("#e8e5df", ("#6cb4ec", "#f29a5c", "#a8a49c"), "#16171a")


@dataclass(frozen=True)
class Shown:
    """What one sensor saw around a window.

    Attributes:
        x: (channel, time) in the sensor's units.
        start: time of the first sample, in seconds on the same clock.
        window: start and stop of the window, in seconds from the beginning of the recording's first window.
    """

    sensor: Sensor
    x: Signal
    start: float
    window: tuple[float, float]

    @property
    def at(self) -> NDArray[np.float64]:
        """(time,) in seconds."""
        return self.start + np.arange(self.x.shape[1]) / self.sensor.rate

    @property
    def wider(self) -> bool:
        """Whether more than the window is there."""
        return self.x.shape[1] > self.cut.shape[1]

    @property
    def cut(self) -> Signal:
        """The window alone."""
        first = round((self.window[0] - self.start) * self.sensor.rate)
        return self.x[:, first : first + max(1, round((self.window[1] - self.window[0]) * self.sensor.rate))]


@dataclass(frozen=True)
class Room:
    """How much a drawing has room for.

    Attributes:
        traces: above each other, at most.
        figures: stick figures of a window, at most.
        points: of a curve, at most.
        ends: the channels' names at the ends of their curves.
    """

    traces: int = 64
    figures: int = 9
    points: int = 1200
    ends: bool = True


WHOLE = Room()
"""Of a drawing that has the width of a page for itself."""


@dataclass(frozen=True)
class Example:
    """A window of a class; without a sensor where the class has no window."""

    name: str
    recording: str
    subject: str
    count: int
    shown: tuple[Shown, ...]


def examples(windows: Windows, seed: int = 0) -> list[Example]:
    """One window of every class, drawn by `seed` among those that lack the fewest sensors.

    Windows without labels give one example, of any.
    """
    target = windows.targets.get(windows.card.target.name)
    labelled = target is not None and target.kind == "class"
    labels = windows.labels.numpy() if labelled else np.zeros(len(windows), np.int64)
    lacking = sum((~there.numpy()).astype(np.int64) for there in windows.present.values()) + np.zeros(len(windows), np.int64)
    found = []
    for number, name in enumerate(windows.classes if labelled else ("not labelled",)):
        mine = np.flatnonzero(labels == number)
        if not len(mine):
            found.append(Example(name, "", "", 0, ()))
            continue
        best = mine[lacking[mine] == lacking[mine].min()]
        at = int(np.random.default_rng([seed, number]).choice(best))
        found.append(Example(name, str(windows.recordings[at]), str(windows.subjects[at]), len(mine), _around(windows, at)))
    return found


def _around(windows: Windows, at: int) -> tuple[Shown, ...]:
    """The sensors of a window, each with up to a window's length before and after, where windows cover the recording."""
    mine = np.flatnonzero(windows.recordings == windows.recordings[at])
    shown = []
    for name, sensor in windows.sensors.items():
        there = windows.present.get(name)
        if there is not None and not bool(there[at]):
            continue
        known = mine if there is None else mine[there.numpy()[mine]]
        starts, length = windows.starts[name].numpy(), windows.lengths[name]
        first, start = int(starts[known].min()), int(starts[at])
        low, high = max(first, start - length), min(int(starts[known].max()) + length, start + 2 * length)
        x = windows.signals[name][:, low:high].numpy()
        seconds = ((start - first) / sensor.rate, (start - first + length) / sensor.rate)
        shown.append(Shown(sensor, x, (low - first) / sensor.rate, seconds))
    return tuple(shown)


def height(sensor: Sensor, room: Room = WHOLE) -> int:
    """Pixels that the drawing of a sensor takes, without its time axis."""
    if sensor.kind == "skeleton":
        return 130
    return 100 if len(sensor.channels) <= CURVES else max(100, 9 * min(room.traces, len(sensor.channels)))


def timed(sensor: Sensor) -> bool:
    """Whether its drawing has a time axis that others can share."""
    return sensor.kind != "skeleton"


def paint(axes: Axes, shown: Shown, palette: Palette, clock: bool = True, room: Room = WHOLE, like: Shown | None = None) -> None:
    """Draw what one sensor saw.

    Args:
        clock: label the time axis.
        like: another drawing of the sensor, whose scale and point of sight this one takes, so that both can be compared.
    """
    like = like or shown
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=palette.ink)
    if shown.sensor.kind == "skeleton":
        _skeleton(axes, shown, palette, room, like)
        return
    if len(shown.x) <= CURVES:
        _curves(axes, shown, palette, room)
    else:
        _traces(axes, shown, palette, room, like)
    at = shown.at
    axes.set_xlim(float(at[0]), float(at[-1]))
    if shown.wider:
        axes.axvspan(*shown.window, color=palette.ink, alpha=0.06, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if clock:
        axes.set_xlabel("time, s", color=palette.ink)
    else:
        axes.tick_params(labelbottom=False)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_alpha(0.8)


def thinned(at: NDArray[np.float64], x: Signal, most: int = WHOLE.points) -> tuple[NDArray[np.float64], Signal]:
    """At most so many points of a curve: of each stretch, its lowest and its highest one."""
    size = -(-len(x) // (most // 2))
    if size <= 2:
        return at, x
    kept: set[int] = set()
    for first in range(0, len(x), size):
        part = np.nan_to_num(x[first : first + size])
        kept |= {first + int(part.argmin()), first + int(part.argmax())}
    places = np.array(sorted(kept))
    return at[places], x[places]


def _style(number: int, palette: Palette) -> dict[str, Any]:
    return {"color": palette.channels[number % 3], "linestyle": _DASHES[number // 3 % 3], "linewidth": 1.3}


def _curves(axes: Axes, shown: Shown, palette: Palette, room: Room) -> None:
    at = shown.at
    for number, (name, x) in enumerate(zip(shown.sensor.channels, shown.x, strict=True)):
        axes.plot(*thinned(at, x, room.points), label=plain(name), **_style(number, palette))
    axes.set_ylabel(plain(shown.sensor.units), color=palette.ink)
    axes.grid(axis="y", color=palette.ink, alpha=0.13, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    if room.ends:
        _label_ends(axes, shown, palette)


def _label_ends(axes: Axes, shown: Shown, palette: Palette) -> None:
    """The channels' names at the ends of their curves, moved apart."""
    low, high = axes.get_ylim()
    ends = np.nan_to_num(shown.x[:, -max(1, shown.x.shape[1] // 20) :].mean(1))
    gap = (high - low) * 15 / height(shown.sensor)
    order = np.argsort(ends)
    places = ends[order].astype(float)
    for _ in range(50):
        near = np.flatnonzero(np.diff(places) < gap * 0.999)
        for n in near:
            middle = places[n : n + 2].mean()
            places[n], places[n + 1] = middle - gap / 2, middle + gap / 2
        if not len(near):
            break
    if len(places) * gap < high - low:
        places += max(0.0, low + gap / 2 - places[0]) - max(0.0, places[-1] - (high - gap / 2))
    for place, number in zip(places, order, strict=True):
        style = _style(int(number), palette)
        text = plain(shown.sensor.channels[number])
        axes.annotate(
            text, (1, float(place)), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
            color=str(style["color"]), fontsize=11, annotation_clip=False,
        )  # fmt: skip


def _traces(axes: Axes, shown: Shown, palette: Palette, room: Room, like: Shown) -> None:
    names = list(shown.sensor.channels)
    kept = np.linspace(0, len(names) - 1, min(room.traces, len(names))).round().astype(int).tolist()
    middle = np.median(like.x[kept], axis=1, keepdims=True)
    size = float(np.percentile(np.abs(like.x[kept] - middle), 98)) or 1.0
    step = _round(2 * size)
    for row, trace in enumerate(shown.x[kept] - middle):
        axes.plot(*thinned(shown.at, trace / step - row, room.points), color=palette.channels[0], linewidth=0.7)
    every = 1 if len(kept) <= 32 else 2
    axes.set_yticks([-row for row in range(0, len(kept), every)], [plain(names[k]) for k in kept[::every]])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylim(-len(kept) + 0.2, 0.8)
    if not room.ends:
        return
    left = 1.015
    axes.plot([left, left], [-1, 0], color=palette.ink, linewidth=1.5, transform=axes.get_yaxis_transform(), clip_on=False)
    axes.annotate(
        f"{step:g} {plain(shown.sensor.units)}", (left, -0.5), (4, 0), xycoords=("axes fraction", "data"), rotation=90,
        textcoords="offset points", va="center", color=palette.ink, fontsize=9, annotation_clip=False,
    )  # fmt: skip


def _round(size: float) -> float:
    """The round number nearest to a size: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(size))
    return float(min((power, 2 * power, 5 * power, 10 * power), key=lambda each: abs(each - size)))


def _skeleton(axes: Axes, shown: Shown, palette: Palette, room: Room, like: Shown) -> None:
    joints = [re.sub(r"[\s_.-]*x$", "", channel, flags=re.IGNORECASE) for channel in shown.sensor.channels[::3]]
    cuts = [each.cut.astype(np.float64) for each in (shown, like)]
    frames = np.linspace(0, cuts[0].shape[1] - 1, min(room.figures, cuts[0].shape[1])).round().astype(int)
    body, pattern = (cut[:, frames].reshape(len(joints), 3, -1) for cut in cuts)
    across, up, sign = _axes_of(pattern, joints)
    flat, known = (np.stack([each[:, across], sign * each[:, up]], 1) for each in (body, pattern))  # (joint, 2, frame)
    flat[:, 0] -= np.median(known[:, 0])
    width = 1.15 * max(float(np.ptp(known[:, 0])), 0.45 * float(np.ptp(known[:, 1])), 1e-6)
    lines = edges(joints)
    for number, frame in enumerate(frames):
        place = number * width
        x, y = flat[:, 0, number] + place, flat[:, 1, number]
        for a, b in lines:
            right = any("right" in joints[n].lower() for n in (a, b))
            left = any("left" in joints[n].lower() for n in (a, b))
            colour = palette.channels[1] if right else palette.channels[0] if left else palette.ink
            axes.plot(x[[a, b]], y[[a, b]], color=colour, linewidth=1.4, solid_capstyle="round")
        axes.plot(x, y, ".", color=palette.ink, markersize=2.5 if lines else 4)
        seconds = shown.window[0] + frame / shown.sensor.rate
        axes.text(place, float(flat[:, 1].min()) - 0.06 * float(np.ptp(flat[:, 1])), f"{seconds:.1f} s", ha="center", va="top",
                  color=palette.ink, alpha=0.8, fontsize=9)  # fmt: skip
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(-0.6 * width, (len(frames) - 0.4) * width)


def _axes_of(body: NDArray[np.float64], joints: Sequence[str]) -> tuple[int, int, float]:
    """Which room axes go across and up, and the sign of up: the head is above the feet."""
    middle = body.mean(2)
    words = [set(re.split(r"[\s_]+", joint.lower())) for joint in joints]
    head = [n for n, w in enumerate(words) if w & {"head", "neck"}]
    feet = [n for n, w in enumerate(words) if w & {"foot", "ankle", "toe"}]
    if head and feet:
        rise = middle[head].mean(0) - middle[feet].mean(0)
        up = int(np.abs(rise).argmax())
        sign = 1.0 if rise[up] > 0 else -1.0
    else:
        up, sign = int(np.ptp(middle, axis=0).argmax()), 1.0
    across = max((axis for axis in range(3) if axis != up), key=lambda axis: float(np.ptp(middle[:, axis])))
    return across, up, sign


_CHAINS = (
    ("head", "neck", "shoulder center|spine shoulder|chest", "spine|torso|spine mid", "hip center|pelvis|spine base|mid hip"),
    *((f"{side} shoulder", f"{side} elbow", f"{side} wrist", f"{side} hand") for side in ("left", "right")),
    *((f"{side} hip", f"{side} knee", f"{side} ankle", f"{side} foot") for side in ("left", "right")),
)


def edges(joints: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of joints that a line joins, as far as their names tell.

    >>> edges(["left_elbow", "wristLeft", "head", "neck"])
    [(2, 3), (0, 1), (3, 0)]
    """
    known = {frozenset(word.lower() for word in re.findall(r"[A-Z]?[a-z]+", joint)): n for n, joint in enumerate(joints)}

    def chain(names: Sequence[str]) -> list[int]:
        places = []
        for name in names:
            found = [known[key] for each in name.split("|") if (key := frozenset(each.split())) in known]
            places += found[:1]
        return places

    lines: list[tuple[int, int]] = []
    chains = [chain(names) for names in _CHAINS]
    for places in chains:
        lines += pairwise(places)
    trunk = chains[0]
    top = chain(["neck|shoulder center|spine shoulder|chest"]) or trunk[:1]
    for places, root in zip(chains[1:], (top, top, trunk[-1:], trunk[-1:]), strict=True):
        if places and root:
            lines.append((root[0], places[0]))
    return lines


def sentence(example: Example, codes: bool) -> str:
    """What the drawing of a class shows, in words; recordings and subjects are named only where these are `codes`."""
    if not example.shown:
        return "no window of this class"
    who = f"subject {example.subject}, recording {example.recording}, " if codes else ""
    start, stop = example.shown[0].window
    return f"{who}{start:.2f} to {stop:.2f} s; one of {example.count:,} windows".replace(".00", "")
