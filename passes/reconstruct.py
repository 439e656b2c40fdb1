"""Bring a model's results back to those of the model as read, without labels or training.

    Conv(x', w)  =>  Conv(x', v)        v the least-squares solution of Conv(x', v) = y

x' is what a node reads now, on the samples, and y what it computed in the model as read. Nodes are solved in the order
of the graph, so that each node also corrects the errors of the nodes before it. When a residual sum or an activation
follows, its result is corrected. The ridge is chosen on held-out samples. (prune_channels does all this by itself.)

This repairs the effect of other steps on weights and values: of pruning by names or magnitudes, of rounding, of
replaced activations, of your own passes. Values are compared with those of the same name in the model as read, and
channels with those that pruning has kept. The pass does not change nodes with computed or quantized weights, nodes that
`sparsify` has changed, and nodes whose results are already right.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from vggc.calibration.samples import Samples, warn_of_samples
from vggc.data import Dataset
from vggc.diagnostics import fail
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.graph.signature import fixed_batch, inputs_of, shape_text
from vggc.pruning.provenance import channels_of
from vggc.pruning.repair import record
from vggc.pruning.repair import repair as repair_weights
from vggc.rewrite import Context, Declined, whole_graph

Method = Literal["bias", "least_squares"]


@whole_graph(exact=False, learns=True)
def reconstruct(
    graph: Graph, context: Context, *, data: Dataset, method: Method = "least_squares", seed: int = 0
) -> None:
    """Solve the weights of all nodes again, so that the model's results on samples are those of the model as read.

    Options:
        data: the samples, a few hundred or more; labels are not used
        method: `least_squares` solves weights; `bias` corrects only means and batch-norm statistics
        seed: seed for the choice of samples
    """
    if context.original is None:
        raise fail(
            "reconstruct needs the model as read, and there is none",
            help="in Python: reconstruct(graph, ..., context=Context(original=lambda: Graph.load(path)))",
        )
    original = context.original()
    graph.infer_shapes()
    original.infer_shapes()
    samples = _samples(graph, original, data)
    warn_of_samples(context, samples, "weights")
    kept = _kept(graph, original)
    done = repair_weights(graph, original, context, kept, samples, mode=method, only_changed=False, seed=seed)
    if not done:
        raise Declined("no node has weights that can be solved")
    record(context, done)


def _kept(graph: Graph, original: Graph) -> dict[str, Int64]:
    """By the name of a node's output the positions of its channels among those it had in the model as read.

    A model that had been pruned before it was read numbers its channels as they were before that.
    """
    before = {node.name: channels_of(node) for node in original.nodes if node.name}
    found = {}
    for node in graph.nodes:
        channels, all_of_them = channels_of(node), before.get(node.name)
        if channels is not None and channels != all_of_them:
            places = {number: at for at, number in enumerate(all_of_them)} if all_of_them else None
            numbers = channels if places is None else [places[each] for each in channels if each in places]
            found[node.outputs[0].name] = np.array(numbers, np.int64)
    return found


def _samples(graph: Graph, original: Graph, data: Dataset) -> Samples:
    """Batches that both models take."""
    now, then = inputs_of(graph), inputs_of(original)
    for each, before in zip(now, then, strict=False):
        alike = each.shape is None or before.shape is None or len(each.shape) == len(before.shape)
        if each.name != before.name or not alike:
            break
    else:
        sizes = fixed_batch(now), fixed_batch(then)
        if len(now) == len(then) and (None in sizes or sizes[0] == sizes[1]):
            return Samples(graph if sizes[1] is None else original, data)
    raise fail(
        "the inputs differ from those of the model as read, so that the two cannot run on the same samples",
        facts=(
            ("now", ", ".join(f"`{each.name}` {shape_text(each.shape)}" for each in now)),
            ("as read", ", ".join(f"`{each.name}` {shape_text(each.shape)}" for each in then)),
        ),
        help="run `reconstruct` before `set_batch` and `set_input_shapes`",
    )
