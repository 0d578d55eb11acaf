"""Knowledge distillation as most people write it: what `kd_step.py` compares harkd with.

A Dataset that augments one NumPy window at a time, a DataLoader, Conv1d nets, a teacher who is asked in every step.
"""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from torch.utils.data import DataLoader, Dataset

from harkd.nets import Flat, Net

RATE, DECAY, CLIP, WEIGHT, TEMPERATURE = 1e-3, 0.01, 5.0, 0.9, 4.0
PARTS = ("data", "teacher", "student", "loss", "backward", "optimiser")
Array = NDArray[np.floating[Any]]
Augment = Callable[[Array], Array]
Reading = dict[str, float]
"""Time by part of the step, with `rest` and `all`."""
rng = np.random.default_rng(0)


def jitter(x: Array, sigma: float = 0.05) -> Array:
    """White noise on x (channel, time)."""
    return x + rng.normal(0, sigma, x.shape)


def scaling(x: Array, sigma: float = 0.1) -> Array:
    """A gain per channel."""
    return x * rng.normal(1, sigma, (len(x), 1))


def rotation(x: Array, degrees: float = 15) -> Array:
    """One rotation of both triples of axes."""
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(rng.uniform(0, degrees))).as_matrix()
    return np.concatenate([turn @ x[:3], turn @ x[3:]])


def warped_time(time: int, sigma: float, knots: int) -> Array:
    """(time,) the running sum of a cubic spline through random speeds, from 0 to time - 1."""
    speed = CubicSpline(np.linspace(0, time - 1, knots + 2), rng.normal(1, sigma, knots + 2))(np.arange(time))
    travelled = np.cumsum(speed)
    return travelled * (time - 1) / travelled[-1]


def time_warp(x: Array, sigma: float = 0.2, knots: int = 4) -> Array:
    """A spline for every channel, as in the published codes of Um et al. (2017) and of Iwana and Uchida (2021)."""
    steps = np.arange(x.shape[1])
    return np.stack([np.interp(steps, warped_time(len(steps), sigma, knots), channel) for channel in x])


def time_warp_once(x: Array, sigma: float = 0.2, knots: int = 4) -> Array:
    """One spline for the whole window, which is what ours does."""
    steps = np.arange(x.shape[1])
    at = warped_time(len(steps), sigma, knots)
    return np.stack([np.interp(steps, at, channel) for channel in x])


def removal(x: Array, share: float = 0.5) -> Array:
    """Zero in a block of time."""
    length = rng.integers(int(share * x.shape[1]) + 1)
    start = rng.integers(x.shape[1] - length + 1)
    x = x.copy()
    x[:, start : start + length] = 0
    return x


def shifting(x: Array, share: float = 0.5) -> Array:
    """Roll round by up to a share of the window."""
    return np.roll(x, rng.integers(int(share * x.shape[1]) + 1) * rng.choice([-1, 1]), 1)


def chain(*ops: Augment) -> Augment:
    """One operation after the other."""

    def run(x: Array) -> Array:
        for op in ops:
            x = op(x)
        return x

    return run


class Samples(Dataset[tuple[Array, int]]):
    """Windows (n, channel, time), each augmented when it is asked for."""

    def __init__(self, x: Array, y: NDArray[np.int64], augment: Augment) -> None:
        self.x, self.y, self.augment = x, y, augment

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Array, int]:
        return self.augment(self.x[index]).astype(np.float32), int(self.y[index])


def plain(net: Net) -> Net:
    """A net as most people write it, with Conv1d and BatchNorm1d on (batch, channel, time), and with a copy of its weights."""
    net = copy.deepcopy(net)
    _make_plain(net)
    return net


def _make_plain(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            sizes = child.kernel_size[1], child.stride[1], int(child.padding[1])
            conv = nn.Conv1d(child.in_channels, child.out_channels, *sizes, groups=child.groups, bias=False)
            conv.load_state_dict({"weight": child.weight.squeeze(2)})
            module.add_module(name, conv)
        elif isinstance(child, nn.BatchNorm2d):
            norm = nn.BatchNorm1d(child.num_features)
            norm.load_state_dict(child.state_dict())
            module.add_module(name, norm)
        else:
            _make_plain(child)
            module.add_module(name, child.body if isinstance(child, Flat) else child)


class Clock:
    """CPU seconds of this process by part of a step; what no part claims is the rest. Others on the machine do not count."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.begin = self.last = time.process_time()

    def read(self) -> Reading:
        """Seconds of each part, of the rest, and of `all` since the last restart; restarts."""
        whole = time.process_time() - self.begin
        found = {part: self.parts[part] for part in PARTS}
        self.restart()
        return found | {"rest": whole - sum(found.values()), "all": whole}

    def lap(self, part: str) -> None:
        """All since the last lap was this part."""
        now = time.process_time()
        self.parts[part] += now - self.last
        self.last = now

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time is counted as a part."""

        def run(*args: Any, **kwargs: Any) -> Any:
            begin = time.process_time()
            answer = call(*args, **kwargs)
            self.parts[part] += time.process_time() - begin
            return answer

        return run


@dataclass
class Run:
    """Readings and mean losses by epoch."""

    readings: list[Reading] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def train_usual(student: Net, teacher: Net, samples: Samples, batch: int, epochs: int = 1) -> Run:
    """Distil a teacher's answers into a student, as in any tutorial."""
    student.train()
    teacher.eval()
    loader = DataLoader(samples, batch, shuffle=True)
    weights = [p for p in student.parameters() if p.dim() > 1]
    others = [p for p in student.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    run, clock = Run(), Clock()
    for _ in range(epochs):
        total = 0.0
        for signals, labels in loader:
            clock.lap("data")
            with torch.no_grad():
                told = teacher(signals).logits
            clock.lap("teacher")
            asked = student(signals).logits
            clock.lap("student")
            soft = kl_div(log_softmax(asked / TEMPERATURE, 1), softmax(told / TEMPERATURE, 1), reduction="batchmean")
            loss = (1 - WEIGHT) * cross_entropy(asked, labels) + WEIGHT * TEMPERATURE**2 * soft
            clock.lap("loss")
            optimiser.zero_grad()
            loss.backward()
            clock.lap("backward")
            nn.utils.clip_grad_norm_(student.parameters(), CLIP)
            optimiser.step()
            clock.lap("optimiser")
            total += loss.item()
        run.losses.append(total / len(loader))
        run.readings.append(clock.read())
    return run
