"""Convert a program that `torch.export.save` wrote (.pt2) to ONNX, and run it."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
import torch


def convert(source: str, output: str, kind: str, channels_first: bool) -> dict[str, Any]:
    """Write the ONNX file with PyTorch's exporter, whose optimizer is off, so that batch norms stay."""
    program = torch.export.load(source)
    exported = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False)
    assert exported is not None
    exported.save(output, external_data=False)
    graph = exported.model.graph
    return {
        "inputs": [[each.name, False] for each in graph.inputs],
        "outputs": [[each.name, False] for each in graph.outputs],
        "version": f"PyTorch {torch.__version__}",
    }


def run(source: str, kind: str, facts: dict[str, Any], inputs: str, outputs: str) -> None:
    """Run the source on the arrays of `inputs` (.npz), and write its `outputs` (.npz)."""
    module = torch.export.load(source).module()
    with np.load(inputs) as arrays, torch.no_grad():
        results = module(*(torch.from_numpy(arrays[name]) for name, _ in facts["inputs"]))
    listed = [results] if isinstance(results, torch.Tensor) else torch.utils._pytree.tree_leaves(results)
    with zipfile.ZipFile(outputs, "w") as archive:
        for (name, _), each in zip(facts["outputs"], listed, strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(each.numpy()), allow_pickle=False)
