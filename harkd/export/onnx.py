"""Target `onnx`: .onnx files, the interchange format, and an implementation of the net that owes nothing to the others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harkd.export.deploy import Deployed, affine
from harkd.export.manifest import ModelFile, described
from harkd.export.source import Source
from harkd.export.tools import need, quiet

FLOAT, INT8 = "model_fp32.onnx", "model_int8.onnx"
OPSET = 18


def models(source: Source) -> list[tuple[ModelFile, bytes]]:
    """The float file and the int8 one; both take floats."""
    whole = float_model(source.plain, source.channels, source.length)
    content = int8_model(source.ranged, source.gain, source.calibration)
    return [
        (described(FLOAT, "onnx", "float", "1,channel,1,time", whole), whole),
        (described(INT8, "onnx", "int8", "1,channel,1,time", content), content),
    ]


def float_model(net: Deployed, channels: int, length: int) -> bytes:
    """A deployed net as .onnx; its input is (1, channel, 1, time) in the watch's units, float32."""
    return _exported(net, torch.zeros(1, channels, 1, length))


def int8_model(net: Deployed, gain: Tensor, windows: Tensor) -> bytes:
    """The same with int8 arithmetic inside (QDQ, symmetric, weights per channel); input and output stay float32.

    Args:
        net: takes x / gain, which brings the sensors to one range; see `harkd.export.int8`.
        windows: calibration windows x (window, channel, time) in the watch's units.
    """
    tool = need("onnxruntime.quantization")
    ranged = affine(1 / gain, torch.zeros_like(gain))
    model = _exported(nn.Sequential(ranged, net).eval(), windows[:1, :, None])
    first = need("onnx").load_from_string(model).graph.node[0].name
    with tempfile.TemporaryDirectory() as folder, quiet():
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(model)
        tool.quantize_static(
            str(before),
            str(after),
            _Reader(windows),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tool.QuantType.QInt8,
            weight_type=tool.QuantType.QInt8,
            nodes_to_exclude=[first],  # it is what makes one scale fit all sensors
        )
        return _bare(need("onnx").load(str(after)))


class _Reader:
    """Calibration windows, as ONNX Runtime asks for them."""

    def __init__(self, windows: Tensor) -> None:
        self._next: Iterator[Tensor] = iter(windows)

    def get_next(self) -> dict[str, Any] | None:
        window = next(self._next, None)
        return None if window is None else {"window": window[None, :, None].numpy().astype(np.float32)}


def _exported(net: nn.Module, example: Tensor) -> bytes:
    need("onnx")
    need("onnxscript")
    with quiet():
        program = torch.onnx.export(
            net, (example,), dynamo=True, opset_version=OPSET, input_names=["window"], output_names=["logits"], verbose=False
        )
        assert program is not None
        return _bare(program.model_proto)


def _bare(model: Any) -> bytes:
    """The file without what the exporter knows of Python: half of a small model, and paths of the machine among it."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    graph.name = "harkd"
    graph.doc_string = ""
    del graph.value_info[:]
    for each in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        if hasattr(each, "metadata_props"):
            del each.metadata_props[:]
        each.doc_string = ""
    need("onnx").checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def operators(content: bytes) -> tuple[str, ...]:
    """The names of the operators of a model, in order."""
    return tuple(str(node.op_type) for node in need("onnx").load_from_string(content).graph.node)
