"""Export formats by name. A new one is a file here, a row in `FORMATS`, and one in `RUNNERS` to run what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harkd.errors import HarkdError
from harkd.export import onnx, tflite
from harkd.export.manifest import ModelFile
from harkd.export.source import Source
from harkd.export.tools import lacks


@dataclass(frozen=True)
class Format:
    """How nets become files of one kind.

    Attributes:
        about: for listings.
        files: the names of the files.
        models: writes them: each with its description and content.
        operators: the names of the operators in a file's content, in order.
        tools: the modules that it needs.
    """

    about: str
    files: tuple[str, ...]
    models: Callable[[Source], list[tuple[ModelFile, bytes]]]
    operators: Callable[[bytes], tuple[str, ...]]
    tools: tuple[str, ...]


FORMATS: dict[str, Format] = {
    "tflite": Format(
        "LiteRT and TensorFlow Lite Micro",
        (tflite.INT8, tflite.FLOAT),
        tflite.models,
        tflite.operators,
        ("litert_torch", "ai_edge_litert", "torchao", "tflite_micro"),
    ),
    "onnx": Format(
        "ONNX Runtime, and as an interchange format",
        (onnx.FLOAT, onnx.INT8),
        onnx.models,
        onnx.operators,
        ("onnx", "onnxscript", "onnxruntime"),
    ),
}


def missing(*formats: str) -> HarkdError | None:
    """The error that these formats would end with because a tool is not installed."""
    return next((problem for key in formats for tool in FORMATS[key].tools if (problem := lacks(tool))), None)
