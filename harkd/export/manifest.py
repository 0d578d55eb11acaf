"""`manifest.json`: everything that a program on a watch must know to feed an exported model and to read its answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harkd.datasets import Cut, Sensor
from harkd.errors import HarkdError, UsageError
from harkd.files import write_atomically
from harkd.schema import STRICT_KEYS, validate

NAME = "manifest.json"
FORMAT = 1
Precision = Literal["float", "int8"]
Layout = Literal["1,1,time,channel", "1,channel,1,time"]


@dataclass(frozen=True)
class ModelFile:
    """One model file, and how its input and output are laid out.

    Attributes:
        layout: of the input: `1,1,time,channel` (channels last) or `1,channel,1,time`; float32, or int8 if there is a `scale`.
        scale: per channel, in the channel's units: q = clamp(round(x / scale) + zero_point, -128, 127). Empty: the file takes
            floats in those units.
        output_scale: logit = output_scale * (q - output_zero_point); 0: the file gives float logits.
    """

    __pydantic_config__ = STRICT_KEYS

    file: str
    format: str
    precision: Precision
    bytes: int
    sha256: str
    layout: Layout
    scale: tuple[float, ...] = ()
    zero_point: int = 0
    output_scale: float = 0.0
    output_zero_point: int = 0


def described(file: str, format: str, precision: Precision, layout: Layout, content: bytes, **more: Any) -> ModelFile:
    """What the manifest says of a file with this content."""
    return ModelFile(file, format, precision, len(content), hashlib.sha256(content).hexdigest(), layout, **more)


@dataclass(frozen=True)
class Channel:
    """One channel of the model's input, in order.

    Attributes:
        units: what the model takes: a value in them times `factor` has the units that the sensor has in `Manifest.sensors`.
    """

    __pydantic_config__ = STRICT_KEYS

    sensor: str
    channel: str
    units: str
    factor: float


@dataclass(frozen=True)
class Manifest:
    """What an export folder holds.

    Attributes:
        name: for people: the net and the data.
        sensors: what has to be recorded, as the data set's card has it: names, units, axes, rate.
        preparation: what is done with recorded signals before windows are cut, as text; empty: nothing.
        window: length and step in samples of the first sensor.
        sees: which sensors and channels of the prepared signals the model sees, and at which rate.
        channels: the model's input channels; rate (Hz) and length (samples) are those of its input.
        unknown: a decision whose probability is below this counts as unknown.
        unknown_rule: how that was found.
        terms: of the training data; they travel with the model.
    """

    __pydantic_config__ = STRICT_KEYS

    format: int
    name: str
    net: str
    parameters: int
    macs: int
    classes: tuple[str, ...]
    sensors: tuple[Sensor, ...]
    preparation: str
    window: Cut
    sees: str
    channels: tuple[Channel, ...]
    rate: float
    length: int
    unknown: float
    unknown_rule: str
    files: tuple[ModelFile, ...]
    terms: Mapping[str, Any]
    environment: Mapping[str, str]

    def file(self, precision: str = "", format: str = "") -> ModelFile:
        """The first file of a kind.

        Raises:
            UsageError: there is none.
        """
        for each in self.files:
            if precision in ("", each.precision) and format in ("", each.format):
                return each
        wanted = " ".join(filter(None, (precision, format)))
        raise UsageError(f"this export holds no {wanted} model; it has {', '.join(each.file for each in self.files) or 'none'}")

    def write(self, folder: Path) -> None:
        write_atomically(folder / NAME, json.dumps(asdict(self), indent=1, allow_nan=False).encode() + b"\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of an export folder, whose files are all there and whole.

        Raises:
            UsageError: the folder is no export.
            HarkdError: a file is missing, damaged or of another version's format.
        """
        path = folder / NAME
        if not path.is_file():
            found = "no such folder" if not folder.exists() else f"there is no {NAME} in it"
            raise UsageError(f"{folder}: {found}; give the folder that harkd export wrote")
        try:
            values = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as problem:
            raise HarkdError(f"{path} is damaged ({problem}): export again") from None
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            told = values.get("format") if isinstance(values, dict) else None
            raise HarkdError(f"{path} has the format {told!r}, and this harkd reads {FORMAT}: export again")
        try:
            manifest = validate(cls, values, str(path))
        except UsageError as problem:
            raise HarkdError(f"{problem}: export again") from None
        for each in manifest.files:
            model = folder / Path(each.file).name
            if not model.is_file() or hashlib.sha256(model.read_bytes()).hexdigest() != each.sha256:
                raise HarkdError(f"{model} is {'not the file that was exported' if model.is_file() else 'missing'}: export again")
        return manifest
