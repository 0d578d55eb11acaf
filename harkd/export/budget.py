"""What a model costs on a device, and whether the device has it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from harkd.export.deploy import Deployed
from harkd.export.tools import need
from harkd.export.verification import Budget

KIB = 1024
_GRAIN = 16  # TensorFlow Lite Micro aligns to this
_MOST = 1 << 24
_TRY = """
import sys
import numpy
import tflite_micro
interpreter = tflite_micro.runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
details = interpreter.get_input_details(0)
interpreter.set_input(numpy.zeros(details["shape"], details["dtype"]), 0)
interpreter.invoke()
"""


@dataclass(frozen=True)
class Target:
    """A kind of device and what a model may take there.

    Attributes:
        flash: bytes of the model file.
        ram: bytes of TensorFlow Lite Micro's arena; None where memory is not what limits.
    """

    name: str
    about: str
    flash: int
    ram: int | None


TARGETS: dict[str, Target] = {
    "mcu-s": Target("mcu-s", "small microcontroller", 64 * KIB, 16 * KIB),
    "mcu-m": Target("mcu-m", "microcontroller with some room", 256 * KIB, 64 * KIB),
    "wear-os": Target("wear-os", "watch with Wear OS", 500 * KIB, None),
}


def judge(target: Target, size: int, arena: int | None) -> Budget:
    """Whether a model of `size` bytes that needs an arena of `arena` bytes (None: not known) fits.

    >>> judge(TARGETS["mcu-s"], 26_000, 8_128).fits
    True
    >>> judge(TARGETS["mcu-s"], 70_000, 8_128).why
    'the file takes 68.4 KiB of 64'
    """
    lacks = []
    if size > target.flash:
        lacks.append(f"the file takes {size / KIB:.1f} KiB of {target.flash // KIB}")
    if target.ram is not None and arena is None:
        lacks.append("there is no file that TensorFlow Lite Micro runs")
    elif target.ram is not None and arena is not None and arena > target.ram:
        lacks.append(f"its arena takes {arena / KIB:.1f} KiB of {target.ram // KIB}")
    return Budget(target.name, target.flash, target.ram, not lacks, "; ".join(lacks))


def arena(content: bytes) -> int | None:
    """Bytes of the smallest arena in which TensorFlow Lite Micro runs a .tflite file, to 16 bytes, on this 64-bit machine.

    None if it does not run the file at all: transformers have operators that it lacks.

    A 32-bit device needs somewhat less: pointers in the arena take half. The interpreter does not tell, so this is bisection,
    each try in a process of its own: where memory lacks, the interpreter sometimes crashes rather than complains.

    Raises:
        HarkdError: TensorFlow Lite Micro is not installed.
    """
    need("tflite_micro")
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(content)
        file.flush()

        def suffices(size: int) -> bool:
            command = [sys.executable, "-c", _TRY, file.name, str(size)]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        low, high = 0, 4 * KIB
        while not suffices(high):
            low, high = high, 2 * high
            if high > _MOST:
                return None
        while high - low > _GRAIN:
            middle = (low + high) // 2 // _GRAIN * _GRAIN
            low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def macs(net: Deployed, channels: int, length: int) -> int:
    """Multiply-accumulate operations of one window, as PyTorch counts them: convolutions and matrix products.

    >>> from torch import nn
    >>> macs(Deployed(nn.Conv2d(2, 8, (1, 5)), plain=True), channels=2, length=36)  # 8 outputs of 32 times 5 times 2
    2560
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, channels, 1, length))
    return counter.get_total_flops() // 2
