"""Run the model beside this file: python run.py inputs.npz outputs.npz"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime as ort


def session(folder: Path = Path(__file__).parent) -> ort.InferenceSession:
    settings = json.loads((folder / "session.json").read_text(encoding="utf-8"))
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, settings["graph_optimization_level"])
    options.intra_op_num_threads = settings["intra_op_num_threads"]
    for key, value in settings["config"].items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(folder / settings["model"], options, settings["providers"])


if __name__ == "__main__":
    model, (inputs, outputs) = session(), sys.argv[1:]
    names = [each.name for each in model.get_outputs()]
    with zipfile.ZipFile(outputs, "w") as archive:
        for name, values in zip(names, model.run(names, dict(np.load(inputs))), strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values)
