"""onnxruntime's own format for small builds, such as those for phones: write it, and run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort


def convert(model: str, output: str, level: str) -> None:
    """Write the ONNX file `model` as `output` (.ort), rewritten as far as `level`, such as "ORT_ENABLE_EXTENDED"."""
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = output
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Model:
    """A file in this format. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name."""
        return dict(zip(self._names, self._session.run(None, dict(feeds)), strict=True))
