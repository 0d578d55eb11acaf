"""Running exported models on this machine, each with the runtime that a device would use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harkd.errors import HarkdError
from harkd.export.manifest import ModelFile
from harkd.export.tools import need, quiet

Floats = NDArray[np.float32]
Kernels = Literal["fast", "reference"]


class Runner:
    """One model file, ready to answer.

    Args:
        answer: from one input array in the file's layout and type to its output array, (1, class).
    """

    def __init__(self, model: ModelFile, answer: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
        self.model, self._answer = model, answer

    def raw(self, x: Floats) -> NDArray[Any]:
        """(window, channel, time) in the watch's units to what the file gives, (window, class): int8 or float32."""
        return np.concatenate([self._answer(window) for window in self._inputs(x)])

    def __call__(self, x: Floats) -> Floats:
        """(window, channel, time) in the watch's units to logits (window, class)."""
        found = self.raw(x)
        if found.dtype == np.float32:
            return found
        zero = np.float32(self.model.output_zero_point)
        return ((found.astype(np.float32) - zero) * np.float32(self.model.output_scale)).astype(np.float32)

    def _inputs(self, x: Floats) -> Iterable[NDArray[Any]]:
        arranged = quantised(x, self.model) if self.model.scale else x.astype(np.float32, copy=False)
        last = self.model.layout == "1,1,time,channel"
        for window in arranged:
            yield np.ascontiguousarray(window.T[None, None] if last else window[None, :, None])


def quantised(x: Floats, model: ModelFile) -> NDArray[np.int8]:
    """(window, channel, time) as the int8 numbers that a model takes."""
    scale = np.array(model.scale, np.float32).reshape(-1, 1)
    return np.clip(np.rint(x / scale) + model.zero_point, -128, 127).astype(np.int8)


def litert(path: Path, model: ModelFile, kernels: Kernels = "reference") -> Runner:
    """A .tflite file in LiteRT.

    Args:
        kernels: `reference` gives the same answers on every machine; `fast` are those of this one (XNNPACK).
    """
    tool = need("ai_edge_litert.interpreter")
    kind = tool.OpResolverType.BUILTIN_REF if kernels == "reference" else tool.OpResolverType.AUTO
    with quiet():
        interpreter = tool.Interpreter(model_content=path.read_bytes(), experimental_op_resolver_type=kind, num_threads=1)
        interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()

    def answer(window: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_tensor(source["index"], window)
        interpreter.invoke()
        found: NDArray[Any] = interpreter.get_tensor(sink["index"])
        return found

    return Runner(model, answer)


def micro(path: Path, model: ModelFile, arena: int) -> Runner:
    """A .tflite file in TensorFlow Lite Micro, with so many bytes for its tensors.

    Raises:
        MemoryError: they do not suffice.
    """
    tool = need("tflite_micro")
    try:
        interpreter = tool.runtime.Interpreter.from_file(str(path), arena_size=arena)
    except RuntimeError as problem:
        raise MemoryError(f"an arena of {arena} bytes does not suffice ({problem})") from None

    def answer(window: NDArray[Any]) -> NDArray[Any]:
        interpreter.set_input(window, 0)
        interpreter.invoke()
        found: NDArray[Any] = interpreter.get_output(0)
        return found

    return Runner(model, answer)


def onnx(path: Path, model: ModelFile) -> Runner:
    """An .onnx file in ONNX Runtime, on the CPU."""
    tool = need("onnxruntime")
    options = tool.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = tool.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()

    def answer(window: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = session.run(None, {source.name: window})[0]
        return found

    return Runner(model, answer)


RUNNERS: dict[str, Callable[[Path, ModelFile], Runner]] = {"tflite": litert, "onnx": onnx}
"""What runs the files of each format."""


def open_runner(folder: Path, model: ModelFile) -> Runner:
    """The runner of a model file of an export folder.

    Raises:
        HarkdError: its runtime is not installed, or does not take the file.
    """
    path = folder / model.file
    if model.format not in RUNNERS:
        raise HarkdError(f"{path} has the format {model.format!r}, which harkd cannot run; it can run {', '.join(RUNNERS)}")
    try:
        return RUNNERS[model.format](path, model)
    except (ValueError, RuntimeError) as problem:
        raise HarkdError(f"{path} cannot be run ({problem}): export again") from None
