"""The model being compiled: an onnx-graphsurgeon graph that keeps what graphsurgeon loses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import onnx
import onnx_graphsurgeon as gs

from vggc.graph import inference, model_export
from vggc.graph.edits import EditableGraph
from vggc.graph.node_order import outer_constants
from vggc.graph.reader import carry, import_skeleton
from vggc.graph.wire import KEEP_BELOW, Skeleton, read_skeleton
from vggc.graph.writer import Written


class Graph(EditableGraph):
    """An ONNX model whose weights stay on disk until they are read.

    Nodes, values, inputs and outputs are graphsurgeon's. Two rules keep every pass honest: a value's name keeps its
    meaning (same name, same numbers), and weights are replaced, never written in place.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.model = onnx.ModelProto()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an ONNX file. Raises CompileError when it is unreadable, no ONNX model, or not a valid one."""
        return cls.from_skeleton(read_skeleton(Path(path)), Path(path).parent)

    @classmethod
    def from_skeleton(cls, skeleton: Skeleton, folder: Path) -> Self:
        """The graph of a model without its large weights; external data is looked for in `folder`."""
        return cls._from_gs(import_skeleton(skeleton, folder), skeleton.model)

    @classmethod
    def from_model(cls, model: onnx.ModelProto, folder: Path = Path()) -> Self:
        """The graph of a model in memory; external data is looked for in `folder`."""
        return cls.from_skeleton(Skeleton(model, {}), folder)

    @classmethod
    def _from_gs(cls, graph: gs.Graph, model: onnx.ModelProto) -> Self:
        self = cls(
            nodes=graph.nodes,
            inputs=graph.inputs,
            outputs=graph.outputs,
            name=graph.name,
            doc_string=graph.doc_string,
            opset=graph.opset,
            import_domains=list(model.opset_import),
            producer_name=graph.producer_name,
            producer_version=graph.producer_version,
            ir_version=max(graph.ir_version or 0, 4),
        )
        _copy_frame(model, self.model)
        self.tidy()
        return self

    def infer_shapes(self, *, check: bool = False) -> None:
        """Fill in type and shape of every value that ONNX's shape inference can tell.

        With `check`, raise CompileError when the onnx checker refuses the model.
        """
        inference.infer_shapes(self, check=check)

    def constants(self) -> list[gs.Constant]:
        """The initializers of the main graph, each once, in the order in which nodes read them."""
        outputs = (value for value in self.outputs if isinstance(value, gs.Constant))
        return list({id(value): value for value in (*outer_constants(self.nodes), *outputs)}.values())

    def export(self, inline_below: int = KEEP_BELOW) -> model_export.Exported:
        """The model as a message; constants of `inline_below` bytes or more stand apart, marked as external data."""
        return model_export.export(self, inline_below)

    def skeleton(self, *, known: bool = True) -> onnx.ModelProto:
        """The model with every large weight as an input: the same structure, small enough to check and infer.

        `known` keeps the shapes known so far; without it only declared ones (inputs, foreign operators) stay.
        """
        return model_export.skeleton(self, known=known)

    def save(self, path: str | Path, *, external: bool = False) -> list[Written]:
        """Write the model, one weight at a time; with `external`, or beyond 2 GiB, its weights beside it."""
        return model_export.save(self, Path(path), external=external)

    def copy(self) -> Graph:
        """An independent graph; weights, being never written in place, are shared."""
        twin = super().copy()
        carry(self, twin)
        twin.producer_name, twin.producer_version = self.producer_name, self.producer_version
        return Graph._from_gs(twin, self.model)


def _copy_frame(model: onnx.ModelProto, frame: onnx.ModelProto) -> None:
    """Everything a model says of itself beside its graph."""
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        if getattr(model, name):
            setattr(frame, name, getattr(model, name))
    frame.opset_import.extend(model.opset_import)
    frame.metadata_props.extend(model.metadata_props)
    frame.graph.metadata_props.extend(model.graph.metadata_props)
