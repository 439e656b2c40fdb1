"""Run a TFLite model with LiteRT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_edge_litert.interpreter import Interpreter


class Model:
    """A TFLite file. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        # The runner reads from the interpreter.
        self._interpreter = Interpreter(model_path=path, num_threads=threads)
        given = [each["name"] for each in described["inputs"]]
        self._outputs = [each["name"] for each in described["outputs"]]
        self._runner = self._interpreter.get_signature_runner()
        taken = sorted(self._runner.get_input_details())
        if set(taken) != set(given) and len(taken) != 1:
            raise ValueError(f"the model takes {', '.join(taken)}, but the ONNX model {', '.join(given)}")
        self._inputs = dict(zip(given, taken, strict=True)) if len(given) == 1 else {name: name for name in given}

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by the names of the ONNX model."""
        results = self._runner(**{self._inputs[name]: array for name, array in feeds.items()})
        if set(results) == set(self._outputs):
            return dict(results)
        # A model that TFLite's converter made of the SavedModel has its names: output_0, output_1, ... in this order.
        ordered = sorted(results, key=lambda name: (len(name), name))
        return {name: results[key] for name, key in zip(self._outputs, ordered, strict=True)}
