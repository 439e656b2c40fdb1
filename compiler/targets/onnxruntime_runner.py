"""Run the model beside this file: python run.py inputs.npz outputs.npz"""

import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

RTX = "NvTensorRTRTXExecutionProvider"


def session(folder: Path = Path(__file__).parent) -> ort.InferenceSession:
    settings = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, settings["graph_optimization_level"])
    options.intra_op_num_threads = settings["intra_op_num_threads"]
    for key, value in settings["config"].items():
        options.add_session_config_entry(key, value)
    return open_session(folder / settings["model"], options, settings["providers"])


def open_session(model: Path, options: ort.SessionOptions, providers: Sequence[str]) -> ort.InferenceSession:
    """Load a model with these execution providers, the preferred one first."""
    if RTX not in providers or RTX in ort.get_available_providers():
        return ort.InferenceSession(model, options, providers)
    for name in providers:
        if name == RTX:
            options.add_provider_for_devices([rtx_device()], {})
        else:
            options.add_provider(name, {})
    return ort.InferenceSession(model, options)


def rtx_device() -> "ort.OrtEpDevice":
    """The first GPU of NVIDIA's plug-in, which replaces the provider that onnxruntime itself had before 1.32.

    A plug-in bears the name that it is registered under, so one name means the provider in both forms. It takes 1 GPU.
    """
    try:
        import onnxruntime_ep_nv_tensorrt_rtx as plug_in
    except ImportError:
        raise RuntimeError(f"no {RTX}: pip install 'onnxruntime>=1.24' onnxruntime-ep-nv-tensorrt-rtx-cu13") from None
    if not (devices := _devices()):
        ort.register_execution_provider_library(RTX, plug_in.get_library_path())
        devices = _devices()
    if not devices:
        raise RuntimeError(f"{RTX} finds no NVIDIA GPU that it supports")
    return devices[0]


def _devices() -> "list[ort.OrtEpDevice]":
    return [device for device in ort.get_ep_devices() if device.ep_name == RTX]


if __name__ == "__main__":
    model, (inputs, outputs) = session(), sys.argv[1:]
    names = [each.name for each in model.get_outputs()]
    with zipfile.ZipFile(outputs, "w") as archive:
        for name, values in zip(names, model.run(names, dict(np.load(inputs))), strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values)
