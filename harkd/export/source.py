"""What all export formats make their files of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from harkd.export.deploy import Deployed
from harkd.export.int8 import Quantised, quantise


@dataclass(frozen=True)
class Source:
    """A net, ready to be written.

    Attributes:
        plain: takes x (batch, channel, 1, time) in the watch's units.
        ranged: takes x / gain; int8 files are made of it.
        gain: (channel,) what brings the sensors to one range; see `harkd.export.int8`.
        calibration: windows x (window, channel, time) of training subjects.
    """

    plain: Deployed
    ranged: Deployed
    gain: Tensor
    calibration: Tensor

    @property
    def channels(self) -> int:
        return self.calibration.shape[1]

    @property
    def length(self) -> int:
        """Samples of a window."""
        return self.calibration.shape[2]

    @cached_property
    def quantised(self) -> Quantised:
        """The net in int8, simulated in PyTorch; made when it is first asked for, which takes a while."""
        return quantise(self.ranged, self.gain, self.calibration)
