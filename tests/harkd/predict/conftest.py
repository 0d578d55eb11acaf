"""Export folders made by hand: a net of one matrix, whose answers a test can work out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from harkd.datasets import Cut, Sees, Sensor, Windows, load
from harkd.datasets.card import read_card
from harkd.datasets.loading import read
from harkd.datasets.prepare import run, usage
from harkd.export.manifest import FORMAT, Channel, Manifest, ModelFile

ACC = Sensor("wrist_acc", "acc", "g", 50.0, placement="wrist")
GYRO = Sensor("wrist_gyro", "gyro", "rad/s", 50.0, placement="wrist")
TWO_SECONDS = Cut(100, 50)
CLASSES = ("still", "up", "down")
MEANS = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [-4.0, 0.0, 0.0]])
"""Logits of still, up and down: 0, four times the mean of the first channel, and minus that."""

Make = Callable[..., Manifest]


def write_model(
    path: Path, channels: int, length: int, of_means: NDArray[Any], of_sizes: NDArray[Any], bias: NDArray[Any]
) -> None:
    """An .onnx model: logits = of_means . mean(x) + of_sizes . mean(|x|) + bias, (class, channel), (class, channel), (class,)."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    weights = np.concatenate([of_means, of_sizes], 1).T.astype(np.float32)
    nodes = [
        helper.make_node("Abs", ["window"], ["sizes"]),
        helper.make_node("Concat", ["window", "sizes"], ["both"], axis=1),
        helper.make_node("GlobalAveragePool", ["both"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("window", onnx.TensorProto.FLOAT, [1, channels, 1, length])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, len(bias)])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias.astype(np.float32), "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def make_export(
    folder: Path,
    sensors: Sequence[Sensor] = (ACC,),
    *,
    cut: Cut = TWO_SECONDS,
    sees: str = "all",
    preparation: str = "",
    classes: Sequence[str] = CLASSES,
    means: NDArray[Any] = MEANS,
    sizes: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    units: str = "",
    factor: float = 1.0,
    unknown: float = 0.0,
) -> Manifest:
    """An export folder.

    Args:
        units, factor: of all channels that the model takes; by default the sensors'.
    """
    pytest.importorskip("onnxruntime")
    folder.mkdir(parents=True, exist_ok=True)
    _, prepared = run(usage(preparation), [], sensors, sensors)
    by_name = {sensor.name: sensor for sensor in prepared}
    lengths = {name: round(cut.length * sensor.rate / prepared[0].rate) for name, sensor in by_name.items()}
    view = Sees.parse(sees, by_name, lengths)
    channels = tuple(
        Channel(name, channel, units or by_name[name].units, factor)
        for name, chosen in zip(view.sensors, view.names, strict=True)
        for channel in chosen
    )
    width = len(channels)
    none = np.zeros((len(classes), width))
    means = np.concatenate([means, none[:, means.shape[1] :]], 1)[:, :width]
    write_model(
        folder / "model.onnx",
        width,
        view.length,
        means,
        none if sizes is None else sizes,
        np.zeros(len(classes)) if bias is None else bias,
    )
    content = (folder / "model.onnx").read_bytes()
    manifest = Manifest(
        format=FORMAT,
        name="made by hand",
        net="one matrix",
        parameters=1,
        macs=1,
        classes=tuple(classes),
        sensors=tuple(sensors),
        preparation=preparation,
        window=cut,
        sees=view.text,
        channels=channels,
        rate=view.rate,
        length=view.length,
        unknown=unknown,
        unknown_rule="",
        files=(ModelFile("model.onnx", "onnx", "float", len(content), hashlib.sha256(content).hexdigest(), "1,channel,1,time"),),
        terms={},
        environment={},
    )
    manifest.write(folder)
    return manifest


@pytest.fixture
def export(tmp_path: Path) -> Make:
    """Makes the export folder `export` of a test."""
    return lambda *given, **more: make_export(tmp_path / "export", *given, **more)


@pytest.fixture
def levels(tmp_path: Path) -> Callable[..., Path]:
    """Writes `levels.csv`: accelerations whose x stands at a level for some seconds each, y at 0 and z at 1, at 50 Hz."""

    def write(*parts: tuple[float, float], header: str = "t,ax,ay,az", name: str = "levels.csv") -> Path:
        x = np.concatenate([np.full(round(50 * seconds), level) for level, seconds in parts])
        time = np.arange(len(x)) / 50
        path = tmp_path / name
        columns = np.stack([time, x, np.zeros_like(x), np.ones_like(x)], 1)
        np.savetxt(path, columns, "%.6g", ",", header=header, comments="")
        return path

    return write


@pytest.fixture(scope="session")
def watch() -> Windows:
    """The windows of the seglearn recordings."""
    return load("seglearn_watch")


@pytest.fixture(scope="session")
def one(watch: Windows) -> tuple[NDArray[np.float32], Windows]:
    """One of these recordings: its signals (channel, time) in g and rad/s, and its windows as `load` gives them."""
    card = read_card("seglearn_watch")
    recording = read(card, None)[5]
    mine = watch.subset(np.flatnonzero(watch.recordings == recording.name))
    return np.concatenate([recording.signals["wrist_acc"], recording.signals["wrist_gyro"]]), mine


@pytest.fixture(scope="session")
def watch_export(watch: Windows, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """A model of the seglearn recordings: least squares on the means and sizes of each channel."""
    folder = tmp_path_factory.mktemp("watch") / "export"
    x = torch.cat(list(watch.gather(torch.arange(len(watch))).values()), 1).double()
    features = torch.cat([x.mean(2), x.abs().mean(2), torch.ones(len(x), 1)], 1)
    wanted = torch.nn.functional.one_hot(watch.labels).double()
    weights = 8 * torch.linalg.lstsq(features, wanted).solution.T.numpy()
    sensors = tuple(watch.sensors.values())
    return folder, make_export(
        folder,
        sensors,
        cut=watch.card.windows,
        classes=watch.classes,
        means=weights[:, :6],
        sizes=weights[:, 6:12],
        bias=weights[:, 12],
    )


@pytest.fixture(scope="session")
def real_eeg() -> Path:
    """A run of imagined fists of subject 1 of the EEG Motor Movement/Imagery Dataset."""
    path = Path(os.environ.get("HARKD_TEST_DATA", "nowhere")) / "eegmmidb" / "files" / "S001" / "S001R04.edf"
    if not path.is_file():
        pytest.skip("needs the recordings of eegmmidb in $HARKD_TEST_DATA")
    return path
