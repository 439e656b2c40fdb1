"""Convert a Paddle inference model to ONNX with paddle2onnx, and run it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle2onnx
from paddle import inference

OPSET = 17


def convert(source: str, output: str, kind: str, channels_first: bool) -> dict[str, Any]:
    """Write the ONNX file of a model file, `inference.json` or `.pdmodel`, with its `.pdiparams` beside it."""
    model, weights = _files(source)
    paddle2onnx.export(model, weights, output, opset_version=OPSET, verbose=False)
    predictor = inference.create_predictor(inference.Config(model, weights))
    return {
        "inputs": [[name, False] for name in predictor.get_input_names()],
        "outputs": [[name, False] for name in predictor.get_output_names()],
        "version": f"paddle2onnx {paddle2onnx.__version__}, Paddle {paddle.__version__}",
    }


def run(source: str, kind: str, facts: dict[str, Any], inputs: str, outputs: str) -> None:
    """Run the source on the arrays of `inputs` (.npz), and write its `outputs` (.npz)."""
    predictor = inference.create_predictor(inference.Config(*_files(source)))
    with np.load(inputs) as arrays:
        for name, _ in facts["inputs"]:
            handle = predictor.get_input_handle(name)
            handle.reshape(arrays[name].shape)
            handle.copy_from_cpu(arrays[name])
    predictor.run()
    with zipfile.ZipFile(outputs, "w") as archive:
        for name, _ in facts["outputs"]:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                array = np.ascontiguousarray(predictor.get_output_handle(name).copy_to_cpu())
                np.lib.format.write_array(file, array, allow_pickle=False)


def _files(source: str) -> tuple[str, str]:
    path = Path(source)
    return str(path), str(path.with_suffix(".pdiparams"))
