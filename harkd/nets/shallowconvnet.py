"""ShallowConvNet: filters over time, filters over electrodes, then the log of the power that each of them lets through.

Schirrmeister et al.: Deep learning with convolutional neural networks for EEG decoding and visualization, Human Brain Mapping 38,
2017. It is filter bank common spatial patterns with filters that are learnt. Durations and dropout are those of the code of
similarity-keeping distillation (Huang, Chen, Wei, 2022), which are close to the paper's: at 125 Hz filters of 13 samples, means
over 35 in steps of 7. Features are the filtered signals and their squares, as that distillation uses them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv2d

from harkd.errors import UsageError
from harkd.nets.net import Flat, Inputs, Net, PooledHead

MAPS = 40
LEAST_POWER = 1e-6
"""Of a map that is silent for a whole window of the mean; its log would be infinite."""


class TimeThenElectrodes(nn.Module):
    """A bank of filters over time, the same for all electrodes, then filters over all electrodes and the whole bank.

    Nothing lies between the two, so both are one convolution, with a kernel that is the product of theirs. Written that way it
    takes a quarter of the arithmetic, and no memory for the signals in between, of which there are maps times electrodes; a CPU
    needs less than a tenth of the time (measured: 22 electrodes, 562 samples, with gradients).
    (batch, electrode, 1, time) to (batch, map, 1, time - kernel + 1).
    """

    def __init__(self, electrodes: int, maps: int, kernel: int) -> None:
        super().__init__()
        self.time = nn.Conv2d(1, maps, (1, kernel), bias=False)
        self.electrodes = nn.Conv2d(maps, maps, (electrodes, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        over_electrodes = self.electrodes.weight.squeeze(3).transpose(1, 2)  # (output, electrode, map)
        return conv2d(x, (over_electrodes @ self.time.weight.flatten(1)).unsqueeze(2))


class Square(nn.Module):
    """Power, sample by sample."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class LogPower(nn.Module):
    """Log of the mean power in sliding windows, (batch, map, time) to (batch, map * steps).

    It refuses recordings of another length than the net was built for.

    Args:
        length: of what comes in; a window is never longer than that.
        window, step: in samples.
    """

    def __init__(self, length: int, window: int, step: int) -> None:
        super().__init__()
        window = min(window, length)
        self.steps = (length - window) // step + 1
        self.pool = nn.AvgPool1d(window, step)

    def forward(self, power: Tensor) -> Tensor:
        pooled: Tensor = self.pool(power)
        if pooled.shape[2] != self.steps:
            raise UsageError(f"this net was built for {self.steps} steps of log power, and a window gave {pooled.shape[2]}")
        return pooled.clamp_min(LEAST_POWER).log().flatten(1)


def samples(family: str, inputs: Inputs, *numbers: int) -> list[int]:
    """Numbers of samples at 125 Hz as those of equal duration at the rate of the inputs, at least one each.

    Raises:
        UsageError: length or rate are not known.
    """
    if not inputs.length or not inputs.rate:
        raise UsageError(f"{family} needs to know length and rate of its windows; it was told of {inputs.width} channels only")
    return [max(1, round(number * inputs.rate / 125)) for number in numbers]


def shallowconvnet(dropout: float, inputs: Inputs, classes: int) -> Net:
    """shallowconvnet for windows of a known length and rate.

    Args:
        dropout: before the classifier; 0.25 in the code that is followed, 0.5 in the paper.
    """
    kernel, window, step = samples("shallowconvnet", inputs, 13, 35, 7)
    kernel = min(kernel, inputs.length)
    power = LogPower(inputs.length - kernel + 1, window, step)
    filtered = Flat(TimeThenElectrodes(inputs.width, MAPS, kernel), nn.BatchNorm2d(MAPS))
    return Net(nn.Identity(), [filtered, Square()], PooledHead(MAPS * power.steps, classes, dropout, power))
