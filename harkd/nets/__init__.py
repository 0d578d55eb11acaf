"""Nets by name. A new family is a file here and a row in `NETS`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harkd.errors import unknown
from harkd.nets import eegnet, fusion, patchformer, resnet1d, reused, sccnet, shallowconvnet, skeleton
from harkd.nets.dscnn import SIZES, dscnn
from harkd.nets.net import Flat, Inputs, Mean, MeanMax, Net, Outputs, PooledHead, Seen, staged
from harkd.nets.wrn import wrn1d

__all__ = [
    "NETS",
    "Family",
    "Flat",
    "Inputs",
    "Mean",
    "MeanMax",
    "Net",
    "Outputs",
    "PooledHead",
    "Seen",
    "build",
    "family",
    "staged",
]


@dataclass(frozen=True)
class Family:
    """A family of nets.

    Attributes:
        pattern: regular expression of its names; the groups go to `make` before inputs and classes.
        examples: some of its names, for listings; each can be built for any number of channels.
        special: further examples that need to know their sensors, each with inputs that it can be built for.
        kinds: the kinds of sensors that it is meant for; empty: any. A fused net deals its sensors out by this.
    """

    pattern: str
    make: Callable[..., Net]
    summary: str
    examples: tuple[str, ...] = ()
    special: Mapping[str, Inputs] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()


_IMU = (Seen("wrist_acc", "acc", ("x", "y", "z")), Seen("wrist_gyro", "gyro", ("x", "y", "z")))
_BODY = Seen("skeleton", "skeleton", skeleton.CHANNELS)
_CAP = Inputs(22, 562, 125.0, (Seen("eeg", "eeg", tuple(f"e{i}" for i in range(1, 23))),))

NETS: dict[str, Family] = {
    "dscnn": Family(
        rf"dscnn-({'|'.join(SIZES)})",
        dscnn,
        "depthwise-separable CNN for watches",
        tuple(f"dscnn-{size}" for size in SIZES),
    ),
    "wrn1d": Family(
        r"wrn1d-(\d+)-(\d+)",
        lambda depth, widening, inputs, classes: wrn1d(int(depth), int(widening), inputs, classes),
        "wide residual network over time, wrn1d-DEPTH-WIDENING",
        ("wrn1d-10-1", "wrn1d-16-1", "wrn1d-16-3", "wrn1d-16-8", "wrn1d-28-1", "wrn1d-28-3"),
    ),
    "resnet1d": Family(
        rf"resnet1d-({'|'.join(resnet1d.SIZES)})",
        resnet1d.resnet1d,
        "residual CNN with mean and max pooling, a teacher for inertial sensors",
        tuple(f"resnet1d-{size}" for size in resnet1d.SIZES),
    ),
    "patchformer": Family(
        rf"patchformer-({'|'.join(patchformer.SIZES)})",
        patchformer.patchformer,
        "small transformer over patches of time",
        tuple(f"patchformer-{size}" for size in patchformer.SIZES),
    ),
    "skeleton": Family(
        rf"skeleton-({'|'.join(skeleton.SIZES)})(-raw)?",
        skeleton.skeleton,
        "residual CNN on joints, bones and velocities; -raw keeps view and size of the body",
        special={f"skeleton-{size}": Inputs(60, 64, 30.0, (_BODY,)) for size in skeleton.SIZES},
        kinds=frozenset({"skeleton"}),
    ),
    "eegnet": Family(
        r"eegnet-(\d+)-(\d+)(?:-d(\d\d))?",
        lambda maps, depth, dropout, inputs, classes: eegnet.eegnet(
            int(maps), int(depth), int(dropout or 50) / 100, inputs, classes
        ),
        "EEGNet-MAPS-DEPTH, with -dPERCENT for another dropout than 50",
        special={"eegnet-8-2": _CAP, "eegnet-8-2-d25": _CAP},
        kinds=frozenset({"eeg"}),
    ),
    "sccnet": Family(
        r"sccnet(?:-d(\d\d))?",
        lambda dropout, inputs, classes: sccnet.sccnet(int(dropout or 50) / 100, inputs, classes),
        "SCCNet, with -dPERCENT for another dropout than 50",
        special={"sccnet": _CAP, "sccnet-d25": _CAP},
        kinds=frozenset({"eeg"}),
    ),
    "shallowconvnet": Family(
        r"shallowconvnet(?:-d(\d\d))?",
        lambda dropout, inputs, classes: shallowconvnet.shallowconvnet(int(dropout or 25) / 100, inputs, classes),
        "ShallowConvNet, with -dPERCENT for another dropout than 25",
        special={"shallowconvnet": _CAP, "shallowconvnet-d50": _CAP},
        kinds=frozenset({"eeg"}),
    ),
    "fusion": Family(
        r"fusion-([^+~]+(?:\+[^+~]+)+)",
        lambda names, inputs, classes: fusion.fusion(
            [(name, family(name).kinds) for name in names.split("+")], inputs, classes, build
        ),
        "late fusion of a net for each group of sensors, fusion-NET+NET",
        special={"fusion-skeleton-m+resnet1d-m": Inputs(66, 128, 50.0, (_BODY, *_IMU))},
    ),
    "reused": Family(
        rf"([^~]+)~({reused.HEAD}(?:~{reused.HEAD})*)",
        lambda student, heads, inputs, classes: reused.reused(student, heads, inputs, classes, build),
        "a net with the heads of its teachers, made by simkd and atsc, NET~HEAD",
        ("dscnn-s~mean64",),
    ),
}


def family(name: str) -> Family:
    """The family that a name belongs to.

    Raises:
        UsageError: no family has such names; says which name is nearest.
    """
    for kind in NETS.values():
        if re.fullmatch(kind.pattern, name):
            return kind
    raise unknown("net", name, [example for kind in NETS.values() for example in (*kind.examples, *kind.special)])


def build(name: str, channels: int | Inputs, classes: int) -> Net:
    """A freshly initialised net (from torch's global generator) for (batch, channels, time).

    Args:
        channels: their number, or, for nets that must know which channel is what, all that is known of them.

    Raises:
        UsageError: there is no such net, or it needs a sensor or a number that `channels` does not tell of.

    >>> build("wrn1d-16-1", channels=3, classes=14).parameter_count
    61374
    """
    kind = family(name)
    found = re.fullmatch(kind.pattern, name)
    assert found
    inputs = Inputs(channels) if isinstance(channels, int) else channels
    return kind.make(*found.groups(), inputs, classes)
