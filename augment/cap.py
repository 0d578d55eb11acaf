"""The electrode cap: where its electrodes sit, what it records when it sits otherwise, and its mirror image.

Electrodes are known by their names in the 10-20 system and its denser forms. Sensors of kind eeg only; others pass untouched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.polynomial.legendre import legval
from numpy.typing import NDArray
from torch import Tensor

from harkd.augment.draws import Draws, Strength
from harkd.augment.spec import Spec
from harkd.augment.transform import Params, Transform, weighted_sum
from harkd.datasets import Signals
from harkd.datasets.card import Invariance
from harkd.datasets.synthetic.head import position
from harkd.errors import UsageError

Array = NDArray[np.float64]

CAP = "eeg"
STIFFNESS, TERMS, REGULARISATION = 4, 50, 1e-5
STEP = 0.5
"""Angles are multiples of this (degrees), so that their matrices can be cached."""
NEIGHBOUR = 18.0
"""Degrees between neighbours of the 10-10 system: up to this turn no electrode takes another's place."""
_SITE = re.compile(r"(fp|af|f|ft|fc|a|t|c|tp|cp|m|p|po|o|i)(z|10|[1-9])")
_OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
"""Of four temporal electrodes in the first 10-20 system."""


def electrodes(names: Sequence[str]) -> Array:
    """(channel, 3) unit vectors to electrodes: x to the right ear, y to the nose, z to the vertex.

    Raises:
        UsageError: a name is not that of an electrode.
    """
    return np.array([position(_OLD_NAMES.get(name.lower(), name)) for name in names])


def mirrored(names: Sequence[str]) -> list[int]:
    """For every channel the one on the other side of the head: odd numbers are left, even ones right, z is the midline.

    Raises:
        UsageError: a name is not that of an electrode, an electrode lacks its counterpart, or all stand on the midline.
    """
    sites = [name.lower() for name in names]
    order = []
    for name, site in zip(names, sites, strict=True):
        match = _SITE.fullmatch(site)
        if not match:
            raise UsageError(f"{name!r} is not an electrode of the 10-20 system (C3, Fz, PO8): which one faces it is not known")
        row, number = match.groups()
        # 1 and 2 face each other, 3 and 4, and so on.
        other = site if number == "z" else f"{row}{int(number) + (1 if int(number) % 2 else -1)}"
        if other not in sites:
            raise UsageError(
                f"{name} has no counterpart {other.upper()} among {', '.join(names)}; mirror a montage with both sides"
            )
        order.append(sites.index(other))
    if order == list(range(len(names))):
        raise UsageError(f"all electrodes are on the midline ({', '.join(names)}): there is nothing to mirror")
    return order


def spline_kernel(cosine: Array) -> Array:
    """The kernel g of spherical splines, for cosines of the angle between two places on the sphere.

    F. Perrin, J. Pernier, O. Bertrand, J. F. Echallier, Electroenceph. Clin. Neurophysiol. 72 (1989) 184-187, with stiffness 4
    and 50 Legendre terms as in MNE and braindecode::

        g(x) = sum_n (2 n + 1) / (n^4 (n + 1)^4) P_n(x) / (4 pi)
    """
    n = np.arange(1, TERMS + 1)
    weights: Array = (2 * n + 1) / (n * (n + 1.0)) ** STIFFNESS / (4 * np.pi)
    values: Array = legval(np.clip(cosine, -1, 1), np.concatenate([[0.0], weights]))
    return values


def spline_weights(known: Array, regularisation: float = REGULARISATION) -> Array:
    """(known + 1, known): from potentials at places (known, 3) to the weights of their spline's kernels and its constant."""
    n = len(known)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = spline_kernel(known @ known.T) + regularisation * np.eye(n)
    system[n, n] = 0.0
    return np.asarray(np.linalg.solve(system, np.eye(n + 1, n)), dtype=np.float64)


def turn_matrices(places: Array, axis: int, angles: Array, regularisation: float = REGULARISATION) -> Array:
    """(angle, channel, channel): from what a cap records to what it would record if it sat turned by an angle (degrees).

    A regularised spline is smoother than the potentials: of uncorrelated ones at 64 electrodes it keeps a quarter of the power,
    at any angle. Therefore only what it explains is turned, and what it leaves stays where it is; a turn by 0 is then the
    identity. (MNE and braindecode drop the rest.)
    """
    weights = spline_weights(places, regularisation)

    def spline(wanted: Array) -> Array:
        return spline_kernel(wanted @ places.T) @ weights[:-1] + weights[-1]

    # One angle at a time: the Legendre sums then stay in the cache of the processor.
    turned = np.stack([spline(places @ turn(axis, angle).T) for angle in angles])
    return np.eye(len(places)) + (turned - spline(places))


def turn(axis: int, angle: float) -> Array:
    """(3, 3): the right-handed turn about x, y or z by an angle (degrees)."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = cos
    matrix[i, j], matrix[j, i] = -sin, sin
    return matrix


def window_products(matrices: Tensor, rows: Tensor) -> Tensor:
    """(batch, m, time): the product of a matrix (batch, m, k) and of rows (batch, k, time), for each window.

    The same to the bit in any batch. On the CPU a batched product computes each window alone, unless there is but one window of
    one sample, and is ten times faster for 64 channels than `weighted_sum`. On other devices its rounding depends on the batch.
    """
    if rows.device.type != "cpu":
        return weighted_sum(matrices, rows)
    if rows.shape[-1] == 1:
        return torch.bmm(matrices, rows.repeat(1, 1, 2))[..., :1]
    return torch.bmm(matrices, rows)


@lru_cache(maxsize=16)
def _turn_table(names: tuple[str, ...], axis: int, steps: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    angles = np.arange(-steps, steps + 1, dtype=np.float64) * STEP
    matrices = turn_matrices(electrodes(names), axis, angles)
    return torch.from_numpy(matrices).to(device, dtype)


@lru_cache(maxsize=16)
def _mirror_table(names: tuple[str, ...], device: torch.device) -> Tensor:
    return torch.tensor(mirrored(names), device=device)


def _check_caps(spec: Spec, known: Callable[[Sequence[str]], object]) -> None:
    for sensor in spec.sensors.values():
        if sensor.kind == CAP:
            try:
                known(sensor.channels)
            except UsageError as problem:
                raise UsageError(f"sensor {sensor.name!r}: {problem}") from None


@dataclass(frozen=True)
class SensorsRotation(Transform):
    """Turn the cap by U(-`max_angle`, `max_angle`) degrees about `axis`, as if it had slipped, and interpolate what it records.

    Axes: x to the right ear (the cap slips to the back of the head), y to the nose, z to the vertex (it turns round). By
    spherical splines, as in braindecode (class SensorsZRotation) after Krell and Kim (EMBC 2017), but what a spline does not
    explain stays where it is (see `turn_matrices`). Angles are rounded to half degrees. About x and y electrodes turn to
    where there were none: the splines extrapolate there. Beyond 18 degrees, where electrodes take their neighbours' places, it
    assumes the invariance `layout`.
    """

    max_angle: float = 15.0
    axis: Literal["x", "y", "z"] = "z"
    STRENGTH: ClassVar = Strength("max_angle", 30.0, most=180.0)
    KINDS: ClassVar = frozenset({CAP})

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"layout"}) if self.max_angle > NEIGHBOUR else frozenset()

    def check(self, spec: Spec) -> None:
        super().check(spec)
        _check_caps(spec, electrodes)

    def slots(self, spec: Spec) -> int:
        return 1

    def sample(self, draws: Draws, spec: Spec) -> Params:
        angle = (2 * draws.uniform(1) - 1) * draws.level(self)
        return {"step": (angle[:, 0] / STEP).round().long()}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        steps = math.ceil(self.max_angle / STEP)
        for name, signal in x.items():
            if spec.sensors[name].kind == CAP:
                axis, channels = "xyz".index(self.axis), spec.sensors[name].channels
                table = _turn_table(channels, axis, steps, signal.device, signal.dtype)
                moved[name] = window_products(table[params["step"] + steps], signal)
        return moved


@dataclass(frozen=True)
class ChannelsSymmetry(Transform):
    """Exchange the electrodes of the left side of the head with those of the right.

    By their names in the 10-20 system: 1 with 2, 3 with 4 and so on; the midline stays. As in braindecode, after Deiss et al.,
    "HAMLET" (2018, recalled). It makes imagined movement of the left hand that of the right one: assumes the invariance
    `mirror`.
    """

    KINDS: ClassVar = frozenset({CAP})

    @property
    def assumes(self) -> frozenset[Invariance]:
        return frozenset({"mirror"})

    def check(self, spec: Spec) -> None:
        super().check(spec)
        _check_caps(spec, mirrored)

    def slots(self, spec: Spec) -> int:
        return 0

    def sample(self, draws: Draws, spec: Spec) -> Params:
        return {}

    def apply(self, x: Signals, params: Params, spec: Spec) -> Signals:
        moved = dict(x)
        for name, signal in x.items():
            if spec.sensors[name].kind == CAP:
                moved[name] = signal.index_select(1, _mirror_table(spec.sensors[name].channels, signal.device))
        return moved
