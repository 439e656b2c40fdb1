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

from vggc.calibration.paired_samples import model_as_read, paired_samples
from vggc.calibration.samples import warn_of_samples
from vggc.data import Dataset
from vggc.graph import Graph
from vggc.pruning.provenance import kept_channels
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
    original = model_as_read(context, "reconstruct")
    graph.infer_shapes()
    samples = paired_samples(graph, original, data, "reconstruct")
    warn_of_samples(context, samples, "weights")
    kept = kept_channels(graph, original)
    done = repair_weights(graph, original, context, kept, samples, mode=method, only_changed=False, seed=seed)
    if not done:
        raise Declined("no node has weights that can be solved")
    record(context, done)
