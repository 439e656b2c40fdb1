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
        # onnx2tf writes no signature into files with int8 weights.
        self._runner = self._interpreter.get_signature_runner() if self._interpreter.get_signature_list() else None
        details = self._interpreter.get_input_details()
        taken = sorted(self._runner.get_input_details()) if self._runner else [each["name"] for each in details]
        if set(taken) != set(given) and len(taken) != 1:
            raise ValueError(f"the model takes {', '.join(taken)}, but the ONNX model {', '.join(given)}")
        self._allocated = False
        self._inputs = dict(zip(given, taken, strict=True)) if len(given) == 1 else {name: name for name in given}

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by the names of the ONNX model."""
        values = {self._inputs[name]: array for name, array in feeds.items()}
        if self._runner is None:
            return self._run_without_signature(values)
        results = self._runner(**values)
        if len(results) == 1:
            return dict(zip(self._outputs, results.values(), strict=True))
        return dict(results)

    def _run_without_signature(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs, which have the order of the ONNX model's."""
        details = self._interpreter.get_input_details()
        if any(list(each["shape"]) != list(values[each["name"]].shape) for each in details):
            for each in details:
                self._interpreter.resize_tensor_input(each["index"], values[each["name"]].shape)
            self._interpreter.allocate_tensors()
        elif not self._allocated:
            self._interpreter.allocate_tensors()
        self._allocated = True
        for each in details:
            self._interpreter.set_tensor(each["index"], values[each["name"]])
        self._interpreter.invoke()
        results = [self._interpreter.get_tensor(each["index"]) for each in self._interpreter.get_output_details()]
        return dict(zip(self._outputs, results, strict=True))
