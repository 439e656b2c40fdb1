"""Run the ONNX model of this archive with onnxruntime, for TorchServe."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


class Handler:
    """The model of a worker. TorchServe calls `initialize` once, and `handle` with each batch of requests."""

    def initialize(self, context: Any) -> None:
        """Load the model that the manifest names."""
        folder = Path(context.system_properties["model_dir"])
        model = folder / Path(context.manifest["model"]["serializedFile"]).name
        self.session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.types = {each.name: _dtype(each.type) for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]

    def handle(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[dict[str, Any]]:
        """One answer for each request: {"outputs": {name: numbers}}, or {"error": text}."""
        return [self._answer(each.get("body", each.get("data"))) for each in data or []]

    def _answer(self, body: Any) -> dict[str, Any]:
        try:
            feeds = self._feeds(body)
            results = self.session.run(self.outputs, feeds)
        except Exception as error:  # noqa: BLE001 - the client gets every reason, and the other requests their answers
            return {"error": f"{type(error).__name__}: {error}"}
        return {"outputs": {name: values.tolist() for name, values in zip(self.outputs, results, strict=True)}}

    def _feeds(self, body: Any) -> dict[str, Any]:
        """The arrays of a request: an .npz file, or JSON with the names of inputs."""
        if isinstance(body, bytes | bytearray):
            if bytes(body[:2]) == b"PK":
                with np.load(io.BytesIO(bytes(body)), allow_pickle=False) as arrays:
                    return {name: arrays[name] for name in arrays.files}
            body = json.loads(bytes(body))
        given = body["inputs"]
        return {name: np.asarray(given[name], dtype) for name, dtype in self.types.items()}


def _dtype(kind: str) -> Any:
    return TYPES.get(kind) or np.dtype(kind.removeprefix("tensor(").removesuffix(")"))


handler = Handler()


def handle(data: Sequence[Mapping[str, Any]], context: Any) -> list[dict[str, Any]]:
    """The entry point that TorchServe calls: without data when it loads the model, then with each batch."""
    if not hasattr(handler, "session"):
        handler.initialize(context)
    return handler.handle(data, context)
