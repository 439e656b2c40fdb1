"""Take from an exported model what only its author can use: documentation, stack traces, file names."""

from __future__ import annotations

from pathlib import Path

import onnx


def bare(path: Path) -> None:
    """Rewrite the model at `path` without texts and metadata."""
    model = onnx.load(path)
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer, *graph.node, graph, model)
    for each in values:
        each.ClearField("doc_string")
        each.ClearField("metadata_props")
    onnx.save(model, path)
