"""Target `tflite`: .tflite files for LiteRT (Wear OS, phones) and TensorFlow Lite Micro (microcontrollers)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from harkd.export.deploy import Deployed
from harkd.export.int8 import Quantised, channels_last
from harkd.export.manifest import ModelFile, described
from harkd.export.source import Source
from harkd.export.tools import need, quiet

FLOAT, INT8 = "model_float.tflite", "model_int8.tflite"


def models(source: Source) -> list[tuple[ModelFile, bytes]]:
    """The int8 file and the float one."""
    content = int8_model(source.quantised)
    (scale, zero), (output_scale, output_zero) = ends(content)
    ranges = {
        "scale": tuple((source.gain.double() * scale).tolist()),
        "zero_point": zero,
        "output_scale": output_scale,
        "output_zero_point": output_zero,
    }
    whole = float_model(source.plain, source.channels, source.length)
    return [
        (described(INT8, "tflite", "int8", "1,1,time,channel", content, **ranges), content),
        (described(FLOAT, "tflite", "float", "1,1,time,channel", whole), whole),
    ]


def float_model(net: Deployed, channels: int, length: int) -> bytes:
    """A deployed net as .tflite with float32 arithmetic; its input is (1, 1, time, channel) in the watch's units."""
    with quiet():
        return _slim(need("litert_torch").convert(channels_last(net), (torch.zeros(1, 1, length, channels),)))


def int8_model(quantised: Quantised) -> bytes:
    """A quantised net as .tflite with int8 arithmetic, input and output."""
    with quiet():
        config = need("litert_torch.quantize.quant_config").QuantConfig(pt2e_quantizer=quantised.quantizer)
        return _slim(need("litert_torch").convert(quantised.graph, (quantised.example,), quant_config=config))


def _slim(model: Any) -> bytes:
    """The file without the names of Python modules that every tensor has: a third of a small model."""
    tools = need("ai_edge_litert.tools.flatbuffer_utils")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        model.export(str(path))
        parsed = tools.read_model(str(path))
    tools.strip_strings(parsed)
    (graph,) = parsed.subgraphs
    graph.tensors[graph.inputs[0]].name = b"window"
    graph.tensors[graph.outputs[0]].name = b"logits"
    return bytes(tools.convert_object_to_bytearray(parsed))


def ends(content: bytes) -> tuple[tuple[float, int], tuple[float, int]]:
    """Scale and zero point of an int8 model's input, and of its output."""
    interpreter = need("ai_edge_litert.interpreter").Interpreter(model_content=content)
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), (output_scale, output_zero) = source["quantization"], sink["quantization"]
    return (float(scale), int(zero)), (float(output_scale), int(output_zero))


def operators(content: bytes) -> tuple[str, ...]:
    """The names of the operators of a model, in order."""
    tools = need("ai_edge_litert.tools.flatbuffer_utils")
    model = tools.read_model_from_bytearray(bytearray(content))
    return tuple(str(tools.opcode_to_name(model, each.opcodeIndex)) for each in model.subgraphs[0].operators)
