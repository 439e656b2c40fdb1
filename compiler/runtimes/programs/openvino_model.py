"""OpenVINO: convert a model to its intermediate representation, and run that on the CPU.

On a processor with bfloat16 instructions, OpenVINO computes float32 models in bfloat16 unless the program asks for
float32 when it loads the model: the files cannot say so. The sidecar keeps what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "auto": ""}
"""What to compute float32 models in, and OpenVINO's name for it. OpenVINO chooses for "auto"."""

_OPERATORS = re.compile(r"No conversion rule found for operations: (.*)")


class Refused(Exception):
    """The model has operators that OpenVINO does not know."""

    help = "write a `rule` that replaces it, or use `target onnxruntime`"


def convert(model: str, output: str, half_weights: bool) -> None:
    """Convert the ONNX file `model` to the IR `output` (model.xml, with model.bin beside it)."""
    from openvino.frontend import FrontEndManager, OpConversionFailure

    # `openvino.convert_model` first guesses the format from the bytes, and does not recognize some small models.
    importer = FrontEndManager().load_by_framework("onnx")
    try:
        converted = importer.convert(importer.load(model))
    except OpConversionFailure as error:
        found = _OPERATORS.search(str(error))
        if not found:
            raise
        raise Refused(f"OpenVINO has no conversion for {found[1]}") from None
    openvino.save_model(converted, output, compress_to_fp16=half_weights)


class Model:
    """An IR loaded for the CPU. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if precision := PRECISIONS[described["settings"]["compute"]]:
            hints["INFERENCE_PRECISION_HINT"] = precision
        if threads:
            hints["INFERENCE_NUM_THREADS"] = threads
        self._model = openvino.Core().compile_model(path, "CPU", hints)
        self._names = [min(each.names) for each in self._model.outputs]

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name."""
        results = self._model(dict(feeds))
        return {name: np.asarray(results[index]) for index, name in enumerate(self._names)}
