"""What `augment.py` found, as Markdown: the targets, the peers, all ops and policies, and what memory costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tables import table

Shape = tuple[int, int]
SMALL: Shape = (6, 128)
COMPARED = 256
"""The batch that targets and peers are about."""


def ops(names: str) -> frozenset[str]:
    return frozenset(names.split())


ONE_PASS = ops("""
    adc_quantize add_noise amplitude_scale axis_mirror channel_cutmix channel_dropout channel_gain channel_noise
    channels_symmetry cutmix cutout gain_error jitter joint_jitter joint_mask joint_offset mask_encoding mirror_body
    mixup noise_injection partial_mixup position_swap removal reverse saturation scaling sensor_dropout sign_flip
    smooth_time_mask step_mix stretch
""")
"""Ops that read each value once and write it once, with something added, multiplied, left out or put elsewhere."""
TURNS = ops("""
    gravity_reorient misalignment rotate rotate_vertical rotation_flip shear
""")
CURVES = ops("""
    bias_drift drift magnitude_warp
""")
WARPS = ops("""
    magnitude_warp speed_warp time_warp window_warp
""")
GATHERS = ops("""
    crop cropping inter_sensor_shift packet_loss permutation random_sampling sample_rate_change shifting speed_warp
    time_warp window_slice window_warp
""")
IDIOM = "NumPy"
TITLES = {
    "memory": (
        "What memory costs",
        ("windows", "batch", "memory", "copied into place, us", "cloned, us", "page faults of a clone"),
    ),
    "noise": ("White noise", ("windows", "batch", "bank, windows/s", "torch.randn, windows/s", "times faster")),
    "cuda": ("On CUDA", ("what", "ms per batch of 256 of 6x500", "target, ms")),
}


@dataclass(frozen=True)
class Speed:
    """Windows per second.

    Attributes:
        alone: an op on given windows with given words; None for what decides over ops.
        through: the same through the Augmenter, gathered, keyed and drawn.
        copy: a memory copy of the windows, in turns with these.
    """

    alone: float | None
    through: float
    copy: float

    @property
    def share(self) -> float:
        """Of the rate of a copy."""
        return (self.alone or self.through) / self.copy


@dataclass(frozen=True)
class Rival:
    """A peer: what it is called, what it draws its parameters once for, its windows per second, and ours in turns with it.

    Attributes:
        alone: our op on given windows with given words, as it is.
    """

    name: str
    draws: str
    rate: float
    through: float
    alone: float


@dataclass
class Found:
    """All that was measured.

    Attributes:
        speeds: by whether memory is kept, name, shape and batch.
        forms: by name and shape, what is in a window that is not of one wrist.
        rivals: by name and shape.
        rows: of the smaller tables, by their key in `TITLES`.
        missing: peers that could not be imported, and why.
    """

    speeds: dict[tuple[bool, str, Shape, int], Speed] = field(default_factory=dict)
    forms: dict[tuple[str, Shape], str] = field(default_factory=dict)
    rivals: dict[tuple[str, Shape], list[Rival]] = field(default_factory=dict)
    rows: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for _, name, _, _ in self.speeds))

    @property
    def shapes(self) -> list[Shape]:
        return list(dict.fromkeys(shape for _, _, shape, _ in self.speeds))

    @property
    def batches(self) -> list[int]:
        return list(dict.fromkeys(batch for _, _, _, batch in self.speeds))


def number(rate: float | None) -> str:
    """Three digits that mean something."""
    if rate is None:
        return ""
    rounded = float(f"{rate:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def size(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"


def speeds(found: Found, shape: Shape) -> str:
    """Every op and policy at one shape, in thousands of windows per second."""
    rows = []
    for name in found.names:
        plain, kept = ([found.speeds.get((way, name, shape, batch)) for batch in found.batches] for way in (False, True))
        cells = [number(s and s.alone and s.alone / 1e3) for s in plain] + [number(s and s.through / 1e3) for s in plain]
        cells += [f"{s.share:.2f}" if s else "" for s in plain] + [number(s and (s.alone or s.through) / 1e3) for s in kept]
        rows.append((name, *cells, *(f"{s.share:.2f}" if s else "" for s in kept)))
    parts = ("op", "Augmenter", "of a copy", "kept", "kept, of a copy")
    return table(["what", *(f"{part}, {batch}" for part in parts for batch in found.batches)], rows)


def compared(found: Found) -> str:
    """Every op with its fastest peer, and the other peers after it."""
    rows = []
    for (name, shape), rivals in sorted(found.rivals.items()):
        best, *others = sorted(rivals, key=lambda rival: -rival.rate)
        rest = "; ".join(f"{other.name} {number(other.through / other.rate)}" for other in others)
        ours = found.speeds[False, name, shape, COMPARED]
        each = (number(best.through), f"{ours.share:.2f}", best.name, best.draws, number(best.rate))
        rows.append((name, size(shape), *each, number(best.through / best.rate), number(best.alone / best.rate), rest))
    head = (
        "op",
        "windows",
        "harkd",
        "of a copy",
        "fastest peer",
        "drawn per",
        "peer",
        "times faster",
        "op alone",
        "against others",
    )
    return table(head, rows)


def judged(found: Found) -> Iterator[tuple[str, str, str, float, float]]:
    """Every target and what it is about: target, op, shape, what was found, what it should be at least."""
    for title, ops, least in (
        ("one pass: 0.5 of the rate of a copy", ONE_PASS, 0.5),
        ("rotations: 0.2 of the rate of a copy", TURNS, 0.2),
        ("curves: 0.1 of the rate of a copy", CURVES, 0.1),
    ):
        for (kept, name, shape, batch), speed in found.speeds.items():
            if name in ops and batch == COMPARED and not kept:
                yield title, name, size(shape), speed.share, least
    for (kept, name, shape, batch), speed in found.speeds.items():
        if name in GATHERS and shape == SMALL and batch == COMPARED and speed.alone and not kept:
            yield "warps that gather: 100,000 windows/s", name, size(shape), speed.alone, 1e5
    for (name, shape), rivals in found.rivals.items():
        if name == "tsaug":
            continue  # the bridge is tsaug itself, window by window
        best = max(rivals, key=lambda rival: rival.rate)
        yield "op alone: 5 times the fastest peer", name, f"{size(shape)}, {best.name}", best.alone / best.rate, 5
        yield "Augmenter: 5 times the fastest peer", name, f"{size(shape)}, {best.name}", best.through / best.rate, 5
        for rival in rivals:
            if name in WARPS and (rival.name.startswith(IDIOM) or name == "speed_warp"):
                yield (
                    "op alone, warps: 100 times the usual code",
                    name,
                    f"{size(shape)}, {rival.name}",
                    rival.alone / rival.rate,
                    100,
                )
            if rival.name.startswith("tsaug"):
                yield "op alone: 20 times tsaug", name, size(shape), rival.alone / rival.rate, 20
    for windows, batch, _, _, ratio in found.rows.get("noise", []):
        yield "the noise bank: 5 times torch.randn", "white noise", f"{windows}, batch {batch}", float(ratio), 5


def targets(found: Found) -> str:
    """How many meet each target, and all that miss it."""
    rows: dict[str, tuple[list[str], list[str]]] = {}
    for title, name, where, value, least in judged(found):
        rows.setdefault(title, ([], []))[value < least].append(f"{name} ({where}) {number(value)}")
    return table(
        ("target", "met", "missed"), ((title, str(len(met)), "; ".join(missed)) for title, (met, missed) in rows.items())
    )


def other_windows(found: Found, shape: Shape) -> str:
    """What is in the windows of ops that need other sensors."""
    named: dict[str, list[str]] = {}
    for name in found.names:
        named.setdefault(found.forms[name, shape], []).append(name)
    return "".join(f"- {form}: {', '.join(names)}\n" for form, names in named.items() if form)


REASONS = """*Op alone* is what can be compared with a peer: both are given windows side by side; the peer draws from its own
generator, the op has its words. The Augmenter also gathers windows from all over the set and draws words by key, so that a window
is the same in any batch: at 256 windows of 6x128 that takes longer than most ops.

Why targets are missed:

- A copy of 256 windows of 6x128 (0.8 MB) stays in the cache and takes as long as about ten calls of torch. Whatever has a table
  to look up, a block to place or several sensors to visit makes more calls than that. At 9x512, where memory counts, most ops of
  one pass meet the target, or with the memory kept come near it.
- Noise is three passes: a row of the bank, its sign, and the sum. mixup, cutmix and step_mix read two windows.
- Vectorised peers that draw once for a batch, or by torch's generator for all windows at once, do as little work as we do. What
  is slow about peers is what they do window by window or axis by axis: splines, warps, filters, rotations of the cap, DTW.
- tsaug works on whole batches; one window at a time, as in `tsaug("...")`, it makes a few hundred windows/s.
- Warps are measured against NumPy with a spline per axis, as published, and against a careful author's one spline per window.
- torch.randn has vector instructions on this CPU; the bank is bound by copying."""
PEERS = """Windows/s of the Augmenter (gathered, keyed, drawn, augmented) and of the fastest peer, which is given its windows
as it wants them and draws with its own generator; the two in turns. *Op alone* compares the peer with the op on given windows and
words. *Drawn per*: what the peer draws its parameters once for; ours are always drawn per window, or finer. The parameters are
those of our default as far as a peer has them, and what comes window by window is stacked. *NumPy* is the usual code, in
`usual_augment.py`: a spline or a warp for each channel as published, and one for all of them as ours do it where that is said."""
ALL = """*Op*: from given words, on given windows (batches of 64, 256, 4096). *Augmenter*: with all that comes before it, like
gathering windows from all over the set. *Of a copy*: the op, or for what decides over ops the Augmenter, against `clone` of the
same tensors in turns with it. *Kept*: the op again, and against a copy again, when glibc is told to keep memory that is freed;
slow ops wait for something else and are left out. Ops that one wrist's acc, gyro (and mag) are no use to, and policies with a
branch of that kind, have as many values in another form:
"""


def report(found: Found, about: str) -> str:
    """The page."""
    missing = "".join(f"- {package} could not be imported ({why}) and is left out.\n" for package, why in found.missing.items())
    text = f"# Every augmentation and every policy\n\n{about}\n\n## Targets\n\n{REASONS}\n\n{targets(found)}\n\n"
    text += f"## Against other packages, batches of {COMPARED}\n\n{PEERS}\n{missing}\n{compared(found)}\n\n"
    for shape in found.shapes:
        text += f"## All of them at {size(shape)}, thousand windows/s\n\n{ALL}\n"
        text += f"{other_windows(found, shape)}\n{speeds(found, shape)}\n\n"
    for key, (title, head) in TITLES.items():
        if key in found.rows:
            text += f"## {title}\n\n{table(head, found.rows[key])}\n\n"
    return text
