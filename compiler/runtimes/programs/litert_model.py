"""Run a TFLite model with LiteRT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_edge_litert.interpreter import Interpreter


class Model:
    """A TFLite file with one signature. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        # The runner reads from the interpreter.
        self._interpreter = Interpreter(model_path=path, num_threads=threads)
        self._runner = self._interpreter.get_signature_runner()
        taken = sorted(self._runner.get_input_details())
        given = [each["name"] for each in described["inputs"]]
        if set(taken) != set(given) and len(taken) != 1:
            raise ValueError(f"the model takes {', '.join(taken)}, but the ONNX model {', '.join(given)}")
        self._inputs = dict(zip(given, taken, strict=True)) if len(given) == 1 else {name: name for name in given}
        self._outputs = [each["name"] for each in described["outputs"]]

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by the names of the ONNX model."""
        results = self._runner(**{self._inputs[name]: array for name, array in feeds.items()})
        if len(results) == 1:
            return dict(zip(self._outputs, results.values(), strict=True))
        return dict(results)
