"""What onnxsim still finds to do among the nodes that compute shapes or only move data.

Of the whole model, onnxsim would also rewrite what is none of its business here, and copy it several times; so it gets
a model of these nodes alone, whose inputs are what the rest of the graph computes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache

import numpy as np
import onnx
import onnx.parser
import onnx_graphsurgeon as gs

from vggc.diagnostics import Declined, first_line
from vggc.graph import Graph
from vggc.graph.domains import is_standard
from vggc.graph.extras import node_extras
from vggc.graph.subgraph import part
from vggc.operators.data_movement import RESHAPERS, SHAPE_READERS

_MOVES = RESHAPERS | {"Concat", "Slice", "Transpose"}
_ARITHMETIC = frozenset({"Add", "Cast", "ConstantOfShape", "Div", "Expand", "Gather", "Mul", "Range", "Sub"})
_FAMILIES = (frozenset({"Concat"}), frozenset({"Slice"}), RESHAPERS)

_REWRITES = frozenset(
    {
        "eliminate_deadend",
        "eliminate_identity",
        "eliminate_nop_reshape",
        "eliminate_shape_gather",
        "eliminate_shape_op",
        "eliminate_slice_after_shape",
        "eliminate_unused_initializer",
        "fuse_concat_into_reshape",
        "fuse_consecutive_concats",
        "fuse_consecutive_reshapes",
        "fuse_consecutive_slices",
        "fuse_consecutive_squeeze_unsqueeze",
        "fuse_consecutive_squeezes",
        "fuse_consecutive_transposes",
        "fuse_consecutive_unsqueezes",
        "fuse_reshape_family",
    }
)
"""Of onnxsim's optimizers, those that make fewer nodes of shape computations and data movement."""


_ANY_MODEL = """<ir_version: 8, opset_import: ["": 17]> any (float[1] x) => (float[1] y) { y = Relu(x) }"""


def simplify_remnants(graph: Graph, improve: Callable[[Graph], None]) -> int:
    """Let onnxsim simplify what is left of shape computations, and take its result over where it has fewer nodes.

    `improve` is applied to its result first. Returns the number of nodes saved. Raises Declined when onnxsim fails.
    """
    if not any(_is_worth_it(graph, node) for node in graph.nodes):
        return 0
    graph.tidy()
    graph.infer_shapes()
    nodes = [node for node in graph.nodes if _belongs(graph, node)]
    inside = {id(node) for node in nodes}
    outputs = [
        value
        for node in nodes
        for value in node.outputs
        if graph.is_output(value) or any(id(reader) not in inside for reader in graph.readers(value))
    ]
    cut = part(graph, nodes, outputs)
    try:
        better = Graph.from_model(_by_onnxsim(cut.skeleton()))
    except Exception as error:
        # A failure in another tool's code must not fail ours.
        raise Declined(f"it failed on {len(nodes)} nodes that compute shapes: {first_line(error)}") from error
    improve(better)
    saved = len(nodes) - len(better.nodes)
    if saved > 0:
        _take_over(graph, nodes, better)
        # The nodes taken out must not be met again, as equals of the new ones.
        graph.tidy()
    return max(saved, 0)


def _by_onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    simplified: tuple[onnx.ModelProto, bool] = onnxsim.simplify(
        model,
        skipped_optimizers=list(_unwanted()),
        skip_constant_folding=True,
        import_custom_schemas=False,
        certify=False,
    )
    return simplified[0]


@cache
def _unwanted() -> tuple[str, ...]:
    """The optimizers that onnxsim shall leave out."""
    import onnxsim
    from onnxsim import onnxsim_cpp2py_export

    # Some of them are listed only once another model has been simplified.
    onnxsim.simplify(onnx.parser.parse_model(_ANY_MODEL), import_custom_schemas=False, certify=False)
    return tuple(name for name in onnxsim_cpp2py_export._list_optimizers() if name not in _REWRITES)


def _is_worth_it(graph: Graph, node: gs.Node) -> bool:
    return node.op in SHAPE_READERS or (node.op in _MOVES and _has_kin(graph, node))


def _belongs(graph: Graph, node: gs.Node) -> bool:
    """Whether a node computes a shape or moves data, and could stand in a model of such nodes alone.

    The inputs of a model declare their types and ranks; and a list without elements has no type outside its node.
    """
    ends = [value for value in (*node.inputs, *node.outputs) if value.name]
    typed = all(graph.rank(value) is not None and graph.dtype(value) is not None for value in ends)
    if not is_standard(node) or not typed or node_extras(node).attributes:
        return False
    return node.op in SHAPE_READERS or node.op in _MOVES or (node.op in _ARITHMETIC and _is_small(graph, node))


def _is_small(graph: Graph, node: gs.Node) -> bool:
    dtype, shape = graph.dtype(node.outputs[0]), graph.static_shape(node.outputs[0])
    return dtype is not None and dtype.kind in "iu" and shape is not None and len(shape) < 2


def _has_kin(graph: Graph, node: gs.Node) -> bool:
    """Whether a node's only reader moves data the same way, so that one node might do for both."""
    reader = graph.only_reader(node.outputs[0])
    return reader is not None and any(node.op in family and reader.op in family for family in _FAMILIES)


def _take_over(graph: Graph, nodes: Sequence[gs.Node], better: Graph) -> None:
    """Make the changes to `graph` that turn `nodes` into the nodes of `better`; what both have stays untouched."""
    same = {_key(node) for node in nodes} & {_key(node) for node in better.nodes}
    gone = [node for node in nodes if _key(node) not in same]
    results = {value.name: value for node in nodes for value in node.outputs}
    values = {value.name: value for node in nodes for value in (*node.inputs, *node.outputs) if value.name}
    made_by = {value.name: node for node in gone for value in node.outputs}
    for node in gone:
        graph.remove(node)
    taken: dict[int, gs.Tensor] = {}

    def mine(value: gs.Tensor, hint: str) -> gs.Tensor | None:
        if not value.name:
            return None
        if id(value) not in taken:
            known = values.get(value.name)
            if isinstance(value, gs.Constant) and not isinstance(known, gs.Constant):
                taken[id(value)] = graph.constant(value.values, hint=hint)
            else:
                taken[id(value)] = known if known is not None else gs.Variable(graph.fresh_name(hint))
        return taken[id(value)]

    for node in better.nodes:
        if _key(node) not in same:
            name = node.outputs[0].name
            replaced = [made_by[name]] if name in made_by else []
            like = next((each for each in replaced if each.op == node.op), None)
            inputs = [mine(value, f"{name}.{index}") for index, value in enumerate(node.inputs)]
            output = mine(node.outputs[0], name)
            assert output is None or isinstance(output, gs.Variable)
            made = graph.add(node.op, inputs, like=like, replaces=replaced, output=output)
            made.attrs = dict(node.attrs)
    for value in better.outputs:
        if isinstance(value, gs.Constant):
            graph.replace(results[value.name], graph.constant(value.values, hint=value.name))


def _key(node: gs.Node) -> Hashable:
    inputs, outputs = ([value.name for value in ends] for ends in (node.inputs, node.outputs))
    attributes = [(name, tuple(each) if isinstance(each, list) else _plain(each)) for name, each in node.attrs.items()]
    return node.op, tuple(inputs), tuple(outputs), frozenset(attributes)


def _plain(attribute: object) -> object:
    if isinstance(attribute, gs.Constant):
        return np.asarray(attribute.values).tobytes()
    return attribute
