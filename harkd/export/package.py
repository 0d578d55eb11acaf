"""One verified folder from one trained net: model files, manifest, test vectors, what was checked, and a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harkd.datasets import Cut, Scaler, Sees, Windows
from harkd.errors import UsageError, unknown
from harkd.evaluation import Evaluation, evaluate_probabilities
from harkd.export import vectors, verify
from harkd.export.arithmetic import OPERATORS
from harkd.export.budget import KIB, TARGETS, arena, judge, macs
from harkd.export.columns import per_sensor
from harkd.export.decide import fit_threshold, softmax
from harkd.export.deploy import Deployed, deploy
from harkd.export.formats import FORMATS
from harkd.export.int8 import calibration_index, gains
from harkd.export.manifest import FORMAT, NAME, Channel, Manifest, ModelFile
from harkd.export.report import markdown
from harkd.export.runners import Floats, Runner, micro, open_runner
from harkd.export.source import Source
from harkd.export.units import factor
from harkd.export.verification import NAME as VERIFICATION
from harkd.export.verification import Budget, Check, Verification, Written
from harkd.files import write_atomically
from harkd.player import Player, predict
from harkd.runs import environment, terms

PARITY_WINDOWS = 1000
KEEP = 0.95
OWNED = (*(file for format in FORMATS.values() for file in format.files), NAME, vectors.NAME, VERIFICATION, "REPORT.md")
TOOLS = ("litert-torch", "ai-edge-litert", "torchao", "tflite-micro", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Parts:
    """The windows that an export needs, by part of the run's split, what stands for each subject, and how they were cut."""

    train: Windows
    val: Windows
    test: Windows
    codes: Mapping[str, str]
    cut: Cut


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        to: formats.
        target: a name of TARGETS whose budget must be kept; empty: none.
        units: what the watch measures in, like "wrist_acc=m/s2 wrist_gyro=deg/s"; other sensors as in training.
    """

    to: tuple[str, ...] = tuple(FORMATS)
    target: str = ""
    units: str = ""

    def __post_init__(self) -> None:
        for each in self.to:
            if each not in FORMATS:
                raise unknown("format", each, FORMATS)
        if not self.to:
            raise UsageError(f"no format is asked for; choose from {', '.join(FORMATS)}")
        if self.target and self.target not in TARGETS:
            raise unknown("target", self.target, TARGETS)


def export(
    player: Player,
    parts: Parts,
    folder: Path,
    wanted: Wanted,
    name: str,
    net: str,
    trained_for_int8: Deployed | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Manifest, Verification]:
    """Write an export folder.

    Args:
        player: the trained net and what it sees.
        name, net: what the model is called, and the name of its net.
        trained_for_int8: what the int8 files take instead, if the net went through quantisation-aware training.
        say: told what is being done.

    Returns:
        The manifest and what was checked, which the folder holds as well. A broken bound is no exception: the files are there to
        be looked at, and `Verification.passed` is false.

    Raises:
        HarkdError: a tool is missing, a unit is not known, or a file cannot be written.
    """
    _refuse_foreign(folder)
    made = _Making(player, parts, wanted, trained_for_int8)
    contents = made.models(say)
    for old in OWNED:
        (folder / old).unlink(missing_ok=True)
    for file, content in contents.items():
        write_atomically(folder / file, content)
    say("checking the files")
    runners = {model.file: open_runner(folder, model) for model in made.files}
    manifest = made.manifest(name, net, runners)
    windows, recorded = made.vectors()
    packed = vectors.packed(windows, recorded, {file: runner.raw(windows) for file, runner in runners.items()})
    verification = made.verified(folder, contents, runners, manifest, packed)
    write_atomically(folder / vectors.NAME, packed)
    write_atomically(folder / VERIFICATION, json.dumps(asdict(verification), indent=1, allow_nan=False).encode() + b"\n")
    write_atomically(folder / "REPORT.md", markdown(manifest, verification).encode())
    manifest.write(folder)  # last: a folder with a manifest is whole
    return manifest, verification


class _Making:
    """An export in the making: what its steps share."""

    def __init__(self, player: Player, parts: Parts, wanted: Wanted, trained_for_int8: Deployed | None) -> None:
        self.player, self.net, self.sees, self.parts, self.wanted = player, player.net, player.sees, parts, wanted
        self.qat = trained_for_int8 is not None
        self.files: list[ModelFile] = []
        self.channels = channels_of(self.sees, parts.train, wanted.units)
        self.factors = torch.tensor([channel.factor for channel in self.channels], dtype=torch.float32)
        self.calibrated = calibration_index(parts.train.labels, len(parts.train.classes))
        calibration = self.seen(parts.train, self.calibrated)
        gain = gains(calibration, [len(names) for names in self.sees.names])
        ranged = trained_for_int8 or deploy(self.net, self.factors * gain)
        self.source = Source(deploy(self.net, self.factors), ranged, gain, calibration)

    def seen(self, windows: Windows, index: Tensor | None = None) -> Tensor:
        """(window, channel, time) as the model takes them: in the watch's units."""
        index = torch.arange(len(windows)) if index is None else index
        return self.sees(windows.gather(index)) / self.factors[:, None]

    def models(self, say: Callable[[str], None]) -> dict[str, bytes]:
        """The content of the model files by name; fills `files`."""
        contents: dict[str, bytes] = {}
        for key in (key for key in FORMATS if key in self.wanted.to):  # in whatever order they were asked for
            say(f"writing {', '.join(FORMATS[key].files)}, which takes a while")
            for model, content in FORMATS[key].models(self.source):
                self.files.append(model)
                contents[model.file] = content
        return contents

    def manifest(self, name: str, net: str, runners: Mapping[str, Runner]) -> Manifest:
        train, card = self.parts.train, self.parts.train.card
        threshold, rule = 0.0, "no validation subjects: nothing is unknown"
        if len(self.parts.val):
            runner = next(runners[model.file] for model in self.files if model.precision == "int8")
            logits = runner(self.seen(self.parts.val).numpy())
            threshold = fit_threshold(softmax(logits), self.parts.val.labels.numpy(), KEEP)
            rule = (
                f"the largest threshold that keeps {KEEP:.0%} of the right decisions of the int8 model on "
                f"{len(self.parts.val):,} windows of {len(set(self.parts.val.subjects.tolist()))} validation subjects"
            )
        needed = [sensor for sensor in card.sensors if sensor.name in self.sees.sensors]
        if len(needed) < len(self.sees.sensors):  # preparation makes some of what it sees: from which, is not known here
            needed = list(card.sensors)
        cut, faster = self.parts.cut, needed[0].rate / next(iter(train.sensors.values())).rate
        return Manifest(
            format=FORMAT,
            name=name,
            net=net,
            parameters=self.net.parameter_count,
            macs=macs(self.source.plain, len(self.channels), self.sees.length),
            classes=train.classes,
            sensors=tuple(needed),
            preparation=card.prepare,
            window=Cut(max(1, round(cut.length * faster)), max(1, round(cut.step * faster))),
            sees=self.sees.text,
            channels=self.channels,
            rate=self.sees.rate,
            length=self.sees.length,
            unknown=threshold,
            unknown_rule=rule,
            files=tuple(self.files),
            terms=terms(card),
            environment=environment() | {tool: found for tool in TOOLS if (found := _version(tool))},
        )

    def vectors(self) -> tuple[Floats, Any]:
        """Windows for `vectors.npz`, and which of them were recorded."""
        scaler = self.net.scaler
        assert isinstance(scaler, Scaler)
        mean, std = (value.flatten() / self.factors for value in (scaler.mean, scaler.std))
        made = vectors.synthetic(mean.numpy(), std.numpy(), self.sees.length)
        if not self.parts.train.card.licence.redistribute:
            return made, np.zeros(len(made), bool)
        some = self.calibrated[torch.linspace(0, len(self.calibrated) - 1, vectors.COUNT).long()]
        real = self.seen(self.parts.train, some).numpy()
        return np.concatenate([made, real]), np.arange(len(made) + len(real)) >= len(made)

    def verified(
        self, folder: Path, contents: Mapping[str, bytes], runners: Mapping[str, Runner], manifest: Manifest, packed: bytes
    ) -> Verification:
        part, scored = next((w, n) for n in ("test", "val", "train") if len(w := getattr(self.parts, n)))
        x, expected = self.seen(part).numpy(), predict(self.player, part).numpy()
        some = np.unique(np.linspace(0, len(x) - 1, min(len(x), PARITY_WINDOWS)).round().astype(int))
        checks, found, ram, lists = [], {}, {}, {}
        for model in self.files:
            lists[model.file] = FORMATS[model.format].operators(contents[model.file])
            if model.precision == "float":
                checks.append(verify.parity(model.file, expected[some], runners[model.file](x[some])))
                continue
            found[model.file] = runners[model.file](x)
            checks.append(verify.agreement(model.file, expected, found[model.file]))
        before, after, lost, int8_file = None, None, None, ""
        if found:
            int8_file, logits = next(iter(found.items()))
            lost = verify.loss(part.labels.numpy(), part.subjects, expected, logits)
            before, after = self._score(part, expected), self._score(part, logits)
            checks.append(verify.drop(int8_file, lost, before, after))
        if "tflite" in self.wanted.to:
            model = manifest.file("int8", "tflite")
            content = contents[model.file]
            needed = arena(content)
            if needed is not None:
                ram[model.file], inputs = needed, x[some]
                litert, device = runners[model.file].raw(inputs), micro(folder / model.file, model, needed).raw(inputs)
                checks.append(verify.runtimes("LiteRT's reference kernels", "TensorFlow Lite Micro", litert, device))
                if set(lists[model.file]) <= OPERATORS:
                    graph = self.source.quantised(torch.from_numpy(inputs)).numpy() / model.output_scale + model.output_zero_point
                    checks.append(verify.runtimes("TensorFlow Lite Micro", "the quantised PyTorch graph", device, np.rint(graph)))
            checks.append(verify.size(model.file, content, manifest.parameters, self.source.plain.plain))
            if self.source.plain.plain:
                checks.append(verify.operators(model.file, lists[model.file], runs=needed is not None))
        chosen = self.parts.train.subset(self.calibrated)
        checks.append(verify.calibration(chosen, [self.parts.val, self.parts.test]))
        checks.append(verify.private({**contents, vectors.NAME: packed, NAME: json.dumps(asdict(manifest)).encode()}))
        flash = {model.file: model for model in self.files}.get(int8_file, self.files[0])
        budgets = tuple(judge(target, flash.bytes, ram.get(flash.file)) for target in TARGETS.values())
        if self.wanted.target:
            checks.append(_kept(next(budget for budget in budgets if budget.target == self.wanted.target), flash.file))
        return Verification(
            harkd=version("harkd"),
            target=self.wanted.target,
            qat=self.qat,
            checks=tuple(checks),
            files={model.file: Written(model.bytes, f"{model.precision} {model.format}") for model in self.files},
            ram=ram,
            operators=lists,
            macs=manifest.macs,
            parameters=manifest.parameters,
            budgets=budgets,
            scored=scored,
            float=before,
            int8=after,
            drop=lost,
        )

    def _score(self, part: Windows, logits: Floats) -> Evaluation:
        return evaluate_probabilities(softmax(logits), part.labels.numpy(), part.subjects, part.classes, self.parts.codes)


def _kept(budget: Budget, file: str) -> Check:
    ram = "" if budget.ram is None else f", {budget.ram // KIB} KiB of memory"
    return Check(
        f"{file} fits {budget.target}",
        f"{budget.flash // KIB} KiB of flash{ram}",
        budget.why or "it does",
        budget.fits,
        "" if budget.fits else "take a smaller net, or one that sees a lower rate, like dscnn-xs or wrist_acc@25Hz",
    )


def channels_of(sees: Sees, windows: Windows, units: str) -> tuple[Channel, ...]:
    """The input channels of a player's net, with the watch's units.

    Raises:
        UsageError: there is no such sensor, or no way from one unit to the other.
    """
    said = per_sensor("--units", units, [windows.sensors[name] for name in sees.sensors])
    made: list[Channel] = []
    for sensor, names in zip(sees.sensors, sees.names, strict=True):
        trained = windows.sensors[sensor].units
        mine = said.get(sensor, trained)
        made += [Channel(sensor, name, mine, factor(mine, trained)) for name in names]
    return tuple(made)


def _version(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return ""


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds other things than an export: its files are replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder with --out")
    there = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    strange = [name for name in there if name not in OWNED and not name.startswith(".")]
    if strange:
        raise UsageError(f"{folder} holds other things than an export ({strange[0]}); give another folder with --out")
