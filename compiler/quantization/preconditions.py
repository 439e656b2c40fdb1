"""What must hold before a graph can be quantized, and what is made so."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.opset_upgrade import raise_opset
from vggc.operators.quantizers import is_quantized
from vggc.quantization.plan import Product
from vggc.rewrite import Context


def refuse_quantized(graph: Graph) -> None:
    """Raise CompileError for a graph in which something is quantized already."""
    found = [node for node in graph.nodes if is_quantized(node)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise fail(
            f"the model is already quantized: {graph.label(found[0])}{more}",
            help="run `strip_qdq` before this step: it removes QuantizeLinear and DequantizeLinear",
            code=Code.QUANTIZE,
        )


def need_opset(graph: Graph, context: Context, wanted: int, reason: str) -> None:
    """Raise the opset of a graph that is older; see `raise_opset`."""
    before = graph.opset
    raise_opset(graph, wanted, reason)
    if graph.opset != before:
        context.record(f"raise the opset from {before} to {wanted}")


def warn_of_norms(graph: Graph, context: Context, products: Iterable[Product]) -> None:
    """Warn of batch norms that a product's kernel could have taken in."""
    behind = []
    for product in products:
        reader = graph.only_reader(product.node.outputs[0])
        if reader is not None and reader.op == "BatchNormalization":
            behind.append(reader)
    if behind:
        context.warn(
            f"batch norms follow nodes that are quantized, {len(behind)} in all, {graph.label(behind[0])} first: "
            "run `fold_batch_norm` before this step"
        )


def plain_gemm(graph: Graph, product: Product) -> None:
    """Take alpha and beta of a Gemm into its constants, and give its bias one axis."""
    node = product.node
    if node.op != "Gemm":
        return
    for name, index in (("alpha", product.weight), ("beta", product.bias)):
        factor = float(node.attrs.get(name, 1.0))
        if index is None or factor == 1.0:
            continue
        array = graph.array(node.inputs[index])
        assert array is not None
        graph.set_input(
            node, index, graph.constant(np.asarray(array, np.float32) * np.float32(factor), node.inputs[index].name)
        )
        node.attrs[name] = 1.0
    if product.bias is None:
        return
    bias = graph.array(node.inputs[product.bias])
    outputs = product.weights.shape[product.axis]
    assert bias is not None
    if bias.shape != (outputs,):
        spread = np.broadcast_to(bias.reshape(-1), (outputs,)).astype(bias.dtype)
        graph.set_input(node, product.bias, graph.constant(spread, node.inputs[product.bias].name))
