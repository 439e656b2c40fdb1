"""Remove computations that a model does not need.

    Conv(x, Identity(w))                                  => Conv(x, w)
    Expand(CastLike(0.0, x), Shape(w)[0:1])               => a constant
    Reshape(x, Concat(Shape(x)[0:1], [256]))              => Reshape(x, [-1, 256])
    Cast(x: float, to=float), Dropout(x), Concat(x)       => x
    Relu(x), Relu(x)                                      => one Relu(x)
    SequenceAt(SplitToSequence(x, 16), 0)                 => one output of a Split

Nodes that depend only on constants are computed (all of them in one onnxruntime session). Nodes that return their input
are removed, equal nodes become one, and nodes whose results nothing reads are removed. One pass over the graph in
topological order does all of this; another one follows only when computed constants may allow more. In the remaining
shape computations and data movement, onnxsim fuses consecutive Slices, Concats and Reshapes. Each body of an
If, Loop or Scan is treated in the same way, as a separate graph.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.constants import Foldable
from vggc.analysis.no_ops import passed_on, zero_states
from vggc.analysis.onnxsim_tail import simplify_remnants
from vggc.analysis.same_constants import SameConstants, constant_key
from vggc.analysis.sequences import parts
from vggc.analysis.shapes.integer_values import IntegerValues, reshape_target
from vggc.graph import Graph
from vggc.graph.bodies import bodies
from vggc.graph.domains import is_standard
from vggc.graph.extras import node_extras
from vggc.graph.writer import onnx_type
from vggc.operators.randomness import is_deterministic
from vggc.operators.roles import PRODUCTS
from vggc.rewrite import Context, Declined, whole_graph
from vggc.values import Bytes

_LARGEST = Bytes(16 << 20)

_BY_SHAPE = frozenset(
    {
        *("Cast", "CastLike", "Expand", "Flatten", "Reshape", "Shape", "Size", "Slice", "SplitToSequence", "Squeeze"),
        *("Tile", "Transpose"),
    }
)
"""Operators that shapes and types decide: without one of them a graph needs no shape inference here."""

_NORM = "BatchNormalization"


@whole_graph
def simplify(graph: Graph, context: Context, largest: Bytes = _LARGEST) -> None:
    """Fold constants, and remove nodes that change nothing, equal another node, or are not needed.

    Options:
        largest: a constant larger than this is computed at run time, unless it is not larger than the constants that it
            is made from
    """
    left = _sweep_all(graph, context, int(largest))
    while saved := _by_onnxsim(graph, context, int(largest)):
        context.record("simplify with onnxsim", saved)
        left = _sweep_all(graph, context, int(largest))
    _tell(left, context)
    for body in bodies(graph):
        _tell(_sweep_all(body, context, int(largest)), context)


def _tell(left: Foldable, context: Context) -> None:
    """Report what a sweep left although only constants decide it."""
    for node, size in left.too_large:
        context.decline(node, f"as a constant, its result would take {size / 1e6:.0f} MB of the model")
    for node, reason in left.failed:
        context.decline(node, f"it cannot be computed at compile time: {reason}")


def _by_onnxsim(graph: Graph, context: Context, largest: int) -> int:
    """Let onnxsim simplify what it can. Returns the number of nodes saved."""

    def improve(part: Graph) -> None:
        _sweep_all(part, Context(), largest)
        part.tidy()

    try:
        return simplify_remnants(graph, improve)
    except Declined as reason:
        context.decline("onnxsim", str(reason))
        return 0


def _sweep_all(graph: Graph, context: Context, largest: int) -> Foldable:
    """Sweep until nothing changes. Returns what the last sweep could not fold."""
    sweep = _sweep(graph, context, largest)
    while sweep.again:
        graph.tidy()
        sweep = _sweep(graph, context, largest)
    return sweep.foldable


def _sweep(graph: Graph, context: Context, largest: int) -> _Sweep:
    """Visit every node once."""
    if any(_is_decided_by_shape(node) for node in graph.nodes):
        graph.infer_shapes()
    sweep = _Sweep(graph, context, largest)
    for node in list(graph.nodes):
        if not graph.is_removed(node):
            sweep.visit(node)
    sweep.fold()
    return sweep


def _is_decided_by_shape(node: gs.Node) -> bool:
    return node.op in _BY_SHAPE or (
        node.op != "Identity" and bool(node.inputs) and all(isinstance(value, gs.Constant) for value in node.inputs)
    )


class _Sweep:
    """What one visit to every node, in topological order, knows so far.

    `again` says that another may find more, now that more is constant or less is read.
    """

    def __init__(self, graph: Graph, context: Context, largest: int) -> None:
        self.graph = graph
        self.context = context
        self.again = False
        self._values = IntegerValues(graph)
        self.foldable = Foldable(graph, largest)
        self._nodes: dict[Hashable, gs.Node] = {}
        self._constants = SameConstants()

    def visit(self, node: gs.Node) -> None:
        self._share_constants(node)
        if not is_standard(node):
            # An operator of another domain may have one of ONNX's names and mean something else.
            return
        if self._remove(node) or self._choose_branch(node) or self._split_sequence(node):
            return
        for index in zero_states(self.graph, node):
            self.graph.set_input(node, index, gs.Variable.empty())
            self.context.record("omit initial state of zeros")
            self.again = True
        if node.op == "CastLike":
            node = self._to_cast(node)
        if node.op == "Range":
            self._scalars(node)
        self._values.visit(node)
        known = self._values.known(node.outputs[0]) if node.outputs else None
        if known is not None and not self.graph.is_output(node.outputs[0]):
            self._make_constant(node.outputs[0], np.array(known, self.graph.dtype(node.outputs[0])))
            self.graph.remove(node)
            self.context.record("fold constants")
        elif not self.foldable.offer(node) and not self._merge(node) and not self._reuse_shape(node):
            self._fix_reshape(node)

    def fold(self) -> None:
        """Put constants in the place of the nodes that constants decide."""
        found = self.foldable.evaluate()
        for value, array in found:
            self._make_constant(value, array)
        if found:
            self.context.record("fold constants", len(found))

    def _make_constant(self, value: gs.Variable, array: Any) -> None:
        constant = self.graph.constant(array, hint=value.name)
        is_output = self.graph.is_output(value)
        self.graph.replace(value, constant)
        if not is_output:
            # The name stays with the numbers.
            constant.name, value.name = value.name, constant.name
        self.again = True

    def _share_constants(self, node: gs.Node) -> None:
        """Let a node read the first of several equal constants."""
        if node.op == "BatchNormalization" and node.attrs.get("training_mode"):
            # onnxruntime writes the new statistics over the old ones, and so over whatever is shared with them.
            return
        for index, value in enumerate(node.inputs):
            if not isinstance(value, gs.Constant):
                continue
            first, is_new = self._constants.first(value)
            if first is not value:
                if is_new:
                    self.context.record("merge equal constants")
                self.graph.set_input(node, index, first, stamp=False)

    def _remove(self, node: gs.Node) -> bool:
        """Take a node out that hands on its input. An Identity stays that gives a value its second name."""
        source = passed_on(self.graph, node, self._values)
        if source is None or (node.op == "Identity" and not self.graph.replaceable(node.outputs[0], source)):
            return False
        self.graph.replace(node.outputs[0], source)
        self.graph.remove(node)
        self.context.record(f"remove {node.op}")
        # What computed its shape or its type may now be unread.
        self.again |= len(node.inputs) > 1
        return True

    def _choose_branch(self, node: gs.Node) -> bool:
        """Replace an If whose condition is constant by the branch it takes."""
        condition = self.graph.array(node.inputs[0]) if node.op == "If" else None
        if condition is None or condition.size != 1:
            return False
        self.graph.inline(node, node.attrs["then_branch" if condition.reshape(-1)[0] else "else_branch"])
        self.context.record("choose branch of If")
        self.again = True
        return True

    def _split_sequence(self, node: gs.Node) -> bool:
        """Compute the parts of a sequence by a Split, when nodes only take them out."""
        found = parts(self.graph, node) if node.op == "SplitToSequence" else None
        if found is None:
            return False
        sizes = self.graph.constant(np.array(found.sizes, np.int64), f"{node.outputs[0].name}_split")
        outputs = len(found.sizes)
        replaces = [node, *(take for take, _ in found.takes)]
        inputs = [node.inputs[0], sizes]
        split = self.graph.add(
            "Split", inputs, {"axis": found.axis}, name=node.name, replaces=replaces, outputs=outputs
        )
        taken: set[int] = set()
        for take, index in found.takes:
            self.graph.remove(take)
            if index in taken:
                self.graph.replace(take.outputs[0], split.outputs[index])
            else:
                self.graph.set_output(split, index, take.outputs[0])
                taken.add(index)
        self.graph.remove(node)
        self.context.record("sequence to Split")
        self.again = True
        return True

    def _scalars(self, node: gs.Node) -> None:
        """Give a Range its constants as scalars: onnxruntime takes a list of one number only if it is computed."""
        for index, value in enumerate(node.inputs):
            array = self.graph.array(value)
            if array is not None and array.shape == (1,):
                self.graph.set_input(node, index, self.graph.constant(array.reshape(()), value.name))
                self.context.record("make a constant a scalar")

    def _to_cast(self, node: gs.Node) -> gs.Node:
        dtype = self.graph.dtype(node.inputs[1])
        if dtype is None:
            return node
        self.graph.remove(node)
        self.context.record("CastLike to Cast")
        cast = {"to": onnx_type(dtype)}
        return self.graph.add("Cast", node.inputs[:1], cast, like=node, replaces=[node], output=node.outputs[0])

    def _merge(self, node: gs.Node) -> bool:
        """Let the readers of a node read an equal one that came before."""
        key = _node_key(node) if is_deterministic(node) else None
        first = node if key is None else self._nodes.setdefault(key, node)
        pairs = [(old, new) for old, new in zip(node.outputs, first.outputs, strict=True) if old.name]
        if first is node or not all(self.graph.replaceable(old, new) for old, new in pairs):
            return False
        readers = (reader for value in node.outputs for reader in self.graph.readers(value))
        if node.op in PRODUCTS and any(reader.op == _NORM for reader in readers):
            # A batch norm folds into a convolution that nothing else reads.
            return False
        for old, new in pairs:
            self.graph.replace(old, new)
        self.graph.remove(node)
        self.context.record("merge equal nodes")
        return True

    def _reuse_shape(self, node: gs.Node) -> bool:
        """Let the readers of a computed shape read one with the same entries that came before."""
        first = self._values.equal(node.outputs[0]) if node.outputs else None
        if first is None or not self.graph.replaceable(node.outputs[0], first):
            return False
        self.graph.replace(node.outputs[0], first)
        self.graph.remove(node)
        key = _node_key(node)
        if self._nodes.get(key) is node:
            del self._nodes[key]
        self.context.record("merge equal shapes")
        self.again = True
        return True

    def _fix_reshape(self, node: gs.Node) -> None:
        """Give a Reshape whose target is computed, but known up to one dimension, a constant target."""
        target = reshape_target(self.graph, node, self._values)
        if target is not None:
            # Zeros in it mean "as in the input".
            node.attrs = {name: value for name, value in node.attrs.items() if name != "allowzero"}
            self.graph.set_input(node, 1, self.graph.constant(np.array(target, np.int64), hint=node.inputs[1].name))
            self.context.record("fold constants")
            self.again = True


def _node_key(node: gs.Node) -> Hashable:
    """What two nodes that compute the same have in common; None where it cannot be told."""
    if not node.inputs or node_extras(node).attributes:
        return None
    attributes = []
    for name, value in sorted(node.attrs.items()):
        key = tuple(value) if isinstance(value, list) else value
        if isinstance(value, gs.Constant):
            key = constant_key(value)
            if key is None:
                return None
        attributes.append((name, key))
    present = tuple(bool(value.name) for value in node.outputs)
    # An omitted input is a value of its own each time.
    inputs = tuple(id(value) if value.name else 0 for value in node.inputs)
    return node.op, tuple(attributes), inputs, present
