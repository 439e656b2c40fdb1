"""Set weights to zero, in patterns that sparse kernels support, and let the other weights compensate this.

    sparsify(data=calib)                 2:4: of each 4 consecutive input channels 2 weights stay, at each position
    sparsify(pattern="1:4", data=calib)  1 of each 4
    sparsify(amount=60%, data=calib)     any 60 % of each node's weights, which no kernel is quicker for

Nodes are changed in the order of the graph. First, the weights of a node are solved so that it gives the results of the
model before this step, on inputs that the nodes before it have already changed. Then they become zero column by column,
and each time the weights of later columns compensate the change (optimal brain surgeon in SparseGPT's order, Frantar
and Alistarh 2023). Without data, the smallest weights become zero and the others do not change.

TensorRT has sparse kernels for 2:4 along the input channels of convolutions and matrix products, and uses them when its
own timing finds them faster. It considers only nodes with 256 channels or more. The report names the nodes that have
the pattern. Only a measurement shows whether the engine is faster. Shapes and bytes stay the same. Use this step after
pruning and folding: later steps that solve weights do not change these nodes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from vggc.analysis.node_selection import name_filter, names_of
from vggc.calibration.matrix import AsMatrix, Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.samples import Samples, warn_of_samples
from vggc.data import Dataset
from vggc.diagnostics import Code, Diagnostic, Diagnostics, fail
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.operators.roles import PRODUCTS, RECURRENT
from vggc.pruning.provenance import SPARSITY
from vggc.pruning.repair import repair
from vggc.pruning.sparsity import Thinning
from vggc.rewrite import Beforehand, Context, Declined, whole_graph
from vggc.values import Names, Ratio, Within

_SPARSE_KERNELS = 256
"""Input channels from which TensorRT considers sparse kernels."""


def _check(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    found = Diagnostics()
    with found.collect():
        _thinning(options["pattern"], options["amount"])
    found.extend(beforehand.dead_names(options, "only", "except_"))
    return found.messages


@whole_graph(exact=False, learns=True, check=_check)
def sparsify(
    graph: Graph,
    context: Context,
    *,
    pattern: str | None = None,
    amount: Ratio | None = None,
    data: Dataset | None = None,
    smallest: Annotated[int, Within(1, 65536)] | None = None,
    only: Names = Names(),  # noqa: B008
    except_: Names = Names(),  # noqa: B008
    seed: int = 0,
) -> None:
    """Set weights to zero: 2 of each 4 input channels by default.

    Options:
        pattern: `"2:4"`, the default, `"1:4"` or any other `"N:M"`: N weights stay of each M input channels
        amount: instead of a pattern, the share of each node's weights that becomes zero, at any position
        data: samples to choose and to compensate with; without them, the smallest weights become zero
        smallest: nodes with fewer input channels do not change; 256 for a pattern, as for TensorRT
        only: change only these nodes: names or globs of nodes, values, weights or modules
        except: do not change these nodes
        seed: seed for the choice of samples
    """
    thinning = _thinning(pattern, amount)
    least = smallest or (_SPARSE_KERNELS if thinning.of else 1)
    graph.infer_shapes()
    products = _products(graph, context)
    names = [names_of(each.node) for each in products]
    is_selected = name_filter(only, except_, names, "node with weights")
    chosen = []
    for each, own in zip(products, names, strict=True):
        if not is_selected(own):
            continue
        reason = _refusal(graph, each, thinning, least)
        if reason is None:
            chosen.append(each)
        else:
            context.decline(each.node, reason)
    if not chosen:
        raise Declined("no node with weights can get such zeros")
    if data is None:
        for each in chosen:
            each.store_matrix(thinning.plain(each))
        done = chosen
    else:
        wanted = {each.node.outputs[0].name: thinning for each in chosen}
        samples = Samples(graph, data)
        warn_of_samples(context, samples, "weights")
        found = repair(graph, graph.copy(), context, {}, samples, thinning=wanted, seed=seed)
        solved = {each.name for each in found if each.error is not None}
        done = [each for each in chosen if (each.node.name or each.node.outputs[0].name) in solved]
    for each in done:
        annotate(each.node, {SPARSITY: str(thinning)})
        graph.touch(each.node)
        context.record(f"{thinning} zeros in {graph.label(each.node)}")


def _thinning(pattern: str | None, amount: Ratio | None) -> Thinning:
    if pattern is not None and amount is not None:
        raise fail(
            "sparsify takes `pattern` or `amount`, not both",
            help='write one of them: sparsify(pattern="2:4") or sparsify(amount=50%)',
            code=Code.OPTION_CONFLICT,
        )
    if amount is not None:
        if not 0 < amount < 1:
            raise fail(f"`amount` must be above 0% and below 100%, but is {amount:.0%}", code=Code.OPTION_LIMITS)
        return Thinning(share=float(amount))
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2})", "2:4" if pattern is None else pattern)
    keep, of = (int(each) for each in found.groups()) if found else (0, 0)
    if not 0 < keep < of:
        raise fail(
            f'`pattern` is "{pattern}", which is not a pattern',
            help='"2:4" keeps 2 weights of each 4 input channels',
            code=Code.OPTION_LIMITS,
        )
    return Thinning(keep, of)


def _products(graph: Graph, context: Context) -> list[AsMatrix]:
    """The nodes with constant weights."""
    found = []
    for node in graph.nodes:
        if node.op in RECURRENT:
            continue
        try:
            found.append(as_matrix(graph, node))
        except Unsuitable as reason:
            if node.op in PRODUCTS:
                context.decline(node, f"its weights stay as they are: {reason}")
    return found


def _refusal(graph: Graph, product: AsMatrix, thinning: Thinning, least: int) -> str | None:
    """Why a node does not get such zeros; None when it can."""
    if product.channels < least:
        why = f": TensorRT has sparse kernels from {least} on" if least == _SPARSE_KERNELS else ""
        each = " in each group" if product.blocks > 1 else ""
        return f"it reads {product.channels} channels{each}, fewer than {least}{why}"
    if thinning.of and product.channels <= thinning.keep:
        return f"it reads {product.channels} channels only, which {thinning} leaves all"
    if len(graph.readers(product.weight)) > 1:
        return "other nodes read the same weights"
    return None
