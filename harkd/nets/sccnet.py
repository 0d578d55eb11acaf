"""SCCNet: spatial filters, then filters over time and over these, then the log of the power that each of them lets through.

C.-S. Wei, T. Koike-Akino, Y. Wang: Spatial component-wise convolutional network (SCCNet) for motor-imagery EEG classification,
NER 2019. Widths, durations and dropout are those of the code of similarity-keeping distillation (Huang, Chen, Wei, 2022), for any
number of electrodes: 22 components, 20 maps; at 125 Hz filters of 12 samples, means over 62 in steps of 12. Features are the
filtered signals and their squares, as that distillation uses them. In that code convolutions have a bias, which the batch norm
behind each of them takes away again; here they have none.
"""

from __future__ import annotations

from torch import nn

from harkd.nets.net import Flat, Inputs, Net, PooledHead, conv
from harkd.nets.shallowconvnet import LogPower, Square, samples

COMPONENTS, MAPS = 22, 20


def sccnet(dropout: float, inputs: Inputs, classes: int) -> Net:
    """sccnet for windows of a known length and rate.

    Args:
        dropout: of single samples of power, before the means; 0.5 in the code that is followed.
    """
    kernel, window, step = samples("sccnet", inputs, 12, 62, 12)
    length = inputs.length + 1 - kernel % 2  # half a kernel of zeros on either side
    power = LogPower(length, window, step)
    components = Flat(conv(inputs.width, COMPONENTS, 1), nn.BatchNorm2d(COMPONENTS))
    filtered = Flat(conv(COMPONENTS, MAPS, kernel), nn.BatchNorm2d(MAPS))
    head = PooledHead(MAPS * power.steps, classes, pool=nn.Sequential(nn.Dropout(dropout), power))
    return Net(components, [filtered, Square()], head)
