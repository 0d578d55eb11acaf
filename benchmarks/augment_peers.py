"""What other packages and the usual NumPy code make of the same windows: the peers of `augment.py`, each by harkd's op.

Packages that are not installed are left out and named. Every peer gets the batch in the form that it wants, with the parameters
of harkd's default as far as it has them, and is called once a batch if it takes batches and once a window if not. What comes
window by window is stacked to a batch, as a training needs it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from usual_augment import OF_SEVERAL, ONE, Labels
from usual_kd import Array, time_warp_once

Job = Callable[[], object]
Drawn = Literal["window", "channel", "batch"]
PACKAGES = {
    "tsaug": "tsaug",
    "audiomentations": "audiomentations",
    "torch-audiomentations": "torch_audiomentations",
    "braindecode": "braindecode.augmentation",
}
"""Names on the package index, and of the modules."""


@dataclass(frozen=True)
class Bench:
    """A batch as the peers want it.

    Attributes:
        x: (batch, channel, time) float32.
        pool, pool_labels: windows of the same form, for what needs several.
        names: of the channels.
    """

    x: Array
    labels: Labels
    pool: Array
    pool_labels: Labels
    names: tuple[str, ...]
    rate: int

    @property
    def time(self) -> int:
        return self.x.shape[2]

    @cached_property
    def tensor(self) -> torch.Tensor:
        return torch.from_numpy(self.x)

    @cached_property
    def time_first(self) -> Array:
        """(batch, time, channel)."""
        return np.ascontiguousarray(self.x.transpose(0, 2, 1))


@dataclass(frozen=True)
class Peer:
    """How a package does what an op of harkd does.

    Attributes:
        make: its object, from the package's module and the bench.
        draws: what it draws its parameters once for.
    """

    op: str
    package: str
    make: Callable[[Any, Bench], Any]
    draws: Drawn = "window"


WIDTH = {"min_bandwidth_fraction": 0.5, "max_bandwidth_fraction": 1.0}
BAND = {"min_center_freq": 5.0, "max_center_freq": 15.0, **WIDTH, "p": 1.0}
TENSOR = {"p": 1.0, "output_type": "tensor"}

PEERS = (
    Peer("add_noise", "tsaug", lambda m, b: m.AddNoise(scale=0.1)),
    Peer("convolve", "tsaug", lambda m, b: m.Convolve()),
    Peer("crop", "tsaug", lambda m, b: m.Crop(int(0.9 * b.time), resize=b.time)),
    Peer("drift", "tsaug", lambda m, b: m.Drift()),
    Peer("dropout", "tsaug", lambda m, b: m.Dropout()),
    Peer("jitter", "tsaug", lambda m, b: m.AddNoise(scale=0.05, normalize=False)),
    Peer("pool", "tsaug", lambda m, b: m.Pool()),
    Peer("quantize", "tsaug", lambda m, b: m.Quantize()),
    Peer("resize", "tsaug", lambda m, b: m.Resize(b.time // 2) + m.Resize(b.time)),
    Peer("reverse", "tsaug", lambda m, b: m.Reverse()),
    Peer("speed_warp", "tsaug", lambda m, b: m.TimeWarp()),
    Peer("tsaug", "tsaug", lambda m, b: m.TimeWarp() + m.Drift(max_drift=0.2)),
    Peer("adc_quantize", "audiomentations", lambda m, b: m.BitCrush(8, 16, p=1.0)),
    Peer("band_pass", "audiomentations", lambda m, b: m.BandPassFilter(**BAND)),
    Peer("band_stop", "audiomentations", lambda m, b: m.BandStopFilter(**BAND)),
    Peer("jitter", "audiomentations", lambda m, b: m.AddGaussianNoise(0.05, 0.05, p=1.0)),
    Peer("low_pass", "audiomentations", lambda m, b: m.LowPassFilter(5.0, 20.0, p=1.0)),
    Peer("noise_injection", "audiomentations", lambda m, b: m.AddGaussianNoise(1e-6, 0.2, p=1.0)),
    Peer("removal", "audiomentations", lambda m, b: m.TimeMask(0.0, 0.5, fade_duration=0.0, p=1.0)),
    Peer("reverse", "audiomentations", lambda m, b: m.Reverse(p=1.0)),
    Peer("saturation", "audiomentations", lambda m, b: m.Clip(-2.0, 2.0, p=1.0), "batch"),
    Peer("scaling", "audiomentations", lambda m, b: m.Gain(-1.0, 1.0, p=1.0)),
    Peer("shifting", "audiomentations", lambda m, b: m.Shift(fade_duration=0.0, p=1.0)),
    Peer("sign_flip", "audiomentations", lambda m, b: m.PolarityInversion(p=1.0)),
    Peer("band_pass", "torch-audiomentations", lambda m, b: m.BandPassFilter(5, 15, sample_rate=b.rate, **WIDTH, **TENSOR)),
    Peer("band_stop", "torch-audiomentations", lambda m, b: m.BandStopFilter(5, 15, sample_rate=b.rate, **WIDTH, **TENSOR)),
    Peer("channel_gain", "torch-audiomentations", lambda m, b: m.Gain(-1.94, 1.94, mode="per_channel", **TENSOR), "channel"),
    Peer("channel_shuffle", "torch-audiomentations", lambda m, b: m.ShuffleChannels(**TENSOR)),
    Peer("low_pass", "torch-audiomentations", lambda m, b: m.LowPassFilter(5, 20, sample_rate=b.rate, **TENSOR)),
    Peer("reverse", "torch-audiomentations", lambda m, b: m.TimeInversion(**TENSOR)),
    Peer("shifting", "torch-audiomentations", lambda m, b: m.Shift(**TENSOR)),
    Peer("sign_flip", "torch-audiomentations", lambda m, b: m.PolarityInversion(**TENSOR)),
    Peer("amplitude_scale", "braindecode", lambda m, b: m.AmplitudeScale(1.0), "channel"),
    Peer("band_rotation", "braindecode", lambda m, b: m.BandRotation(1.0), "batch"),
    Peer("band_stop", "braindecode", lambda m, b: m.BandstopFilter(1.0, b.rate)),
    Peer("channel_dropout", "braindecode", lambda m, b: m.ChannelsDropout(1.0)),
    Peer("channel_shuffle", "braindecode", lambda m, b: m.ChannelsShuffle(1.0)),
    Peer("channels_reref", "braindecode", lambda m, b: m.ChannelsReref(1.0)),
    Peer("channels_symmetry", "braindecode", lambda m, b: m.ChannelsSymmetry(1.0, list(b.names))),
    Peer("cutout", "braindecode", lambda m, b: m.MaskEncoding(1.0)),
    Peer("frequency_shift", "braindecode", lambda m, b: m.FrequencyShift(1.0, b.rate)),
    Peer("ft_surrogate", "braindecode", lambda m, b: m.FTSurrogate(1.0)),
    Peer("jitter", "braindecode", lambda m, b: m.GaussianNoise(1.0, 0.05)),
    Peer("mask_encoding", "braindecode", lambda m, b: m.MaskEncoding(1.0)),
    Peer("mixup", "braindecode", lambda m, b: m.Mixup(0.2, beta_per_sample=True)),
    Peer("reverse", "braindecode", lambda m, b: m.TimeReverse(1.0)),
    Peer("segmentation_reconstruction", "braindecode", lambda m, b: m.SegmentationReconstruction(1.0, 4)),
    Peer("sensors_rotation", "braindecode", lambda m, b: m.SensorsZRotation(1.0, list(b.names))),
    Peer("sign_flip", "braindecode", lambda m, b: m.SignFlip(1.0)),
    Peer("smooth_time_mask", "braindecode", lambda m, b: m.SmoothTimeMask(1.0, b.time // 10)),
)


def load() -> dict[str, ModuleType | str]:
    """The packages, or why they cannot be imported."""
    found: dict[str, ModuleType | str] = {}
    for package, module in PACKAGES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[package] = importlib.import_module(module)
        except (ImportError, OSError) as problem:
            found[package] = str(problem).splitlines()[0]
    return found


def jobs(op: str, bench: Bench, packages: dict[str, ModuleType | str]) -> Iterator[tuple[str, Drawn, Job]]:
    """What each peer of an op is called, what it draws for, and a batch of its work."""
    for peer in PEERS:
        package = packages[peer.package]
        if peer.op == op and isinstance(package, ModuleType):
            made = peer.make(package, bench)
            title = "pipeline" if type(made).__name__.startswith("_") else type(made).__name__
            yield f"{peer.package} {title}", peer.draws, _call(peer.package, made, bench)
    if op in ONE:
        yield "NumPy", "window", lambda: np.stack([ONE[op](window) for window in bench.x])
    if op == "time_warp":
        yield "NumPy, one map for all channels", "window", lambda: np.stack([time_warp_once(window) for window in bench.x])
    if op in OF_SEVERAL:
        run, windows = OF_SEVERAL[op], list(zip(bench.x, bench.labels.tolist(), strict=True))
        yield "NumPy", "window", lambda: np.stack([run(x, y, bench.pool, bench.pool_labels) for x, y in windows])


def _call(package: str, made: Any, bench: Bench) -> Job:
    match package:
        case "tsaug":
            return lambda: made.augment(bench.time_first)
        case "audiomentations":
            return lambda: np.stack([made(window, bench.rate) for window in bench.x])
        case "torch-audiomentations":
            return lambda: made(bench.tensor, sample_rate=bench.rate)
        case _:
            labels = torch.from_numpy(bench.labels)
            return lambda: made(bench.tensor, labels)
