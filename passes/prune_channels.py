"""Remove channels, and repair the remaining weights without labels or training.

    Conv(Relu(Conv(x, w1)), w2)    w1 [64, 3, 3, 3]   w2 [128, 64, 3, 3]
    => Conv(Relu(Conv(x, v1)), v2)    v1 [24, 3, 3, 3]   v2 [128, 24, 3, 3]

The pass finds channels that must be removed together (residual streams, depthwise convolutions, concatenations).
Channels that cannot be removed, such as the model's outputs, stay. In each group, it removes the channels with the
smallest loss after the best repair of the nodes that read them. The widths follow from one budget for the whole model,
and from the measured effect of each group on the model's outputs. Then every node after a removed channel is solved
again, in the order of the graph, so that its results on the samples are those of the original. Before any repair, the
graph without the channels is proved equal to the original with these channels masked: zero in sums, and without a part
in maxima and in the statistics of norms.

Use a few hundred samples or more of the model's real inputs. Labels are used only for importance=taylor. Do not fold
batch norms before this step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from vggc.analysis.channels import Group, Groups, channel_groups, prove
from vggc.calibration.samples import Samples, sample_sizes, warn_of_samples
from vggc.calibration.spill import Spill
from vggc.data import Dataset, KnownData
from vggc.diagnostics import Code, Diagnostic, Diagnostics, fail
from vggc.execution.products import small_products
from vggc.execution.threads import workers
from vggc.graph import Graph
from vggc.graph.arrays import Int64
from vggc.operators.quantizers import is_quantized
from vggc.pruning.budget import Budget, budget, check_reachable, nothing_to_prune
from vggc.pruning.elimination import Elimination
from vggc.pruning.group_names import select
from vggc.pruning.group_readers import Readings
from vggc.pruning.losses import Losses
from vggc.pruning.provenance import kept_outputs, note
from vggc.pruning.repair import record
from vggc.pruning.repair import repair as repair_weights
from vggc.pruning.sample_work import affordable, enough_to_order, varied
from vggc.pruning.selection import NEEDS_DATA, Importance, atoms, order, widths_under
from vggc.pruning.widths import uniform_widths
from vggc.rewrite import Beforehand, Context, Declined, whole_graph
from vggc.values import Bytes, Names, Ratio, Within

_PROOF_SAMPLES = 16

_AT_ONCE = 2
"""Groups that are put in order at the same time: each takes half a gigabyte where nodes are wide."""

Repair = Literal["none", "bias", "least_squares"]

_BUDGETS = ("macs", "params", "keep", "size")


def _check(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    found = Diagnostics()
    with found.collect():
        _check_options({name: options[name] for name in _BUDGETS})
    with found.collect():
        _check_data(options["data"], *_modes(options["data"], options["importance"], options["repair"]))
    found.extend(beforehand.dead_names(options, "only", "except_"))
    if not found.errors:
        with found.collect():
            _check_budget(options, beforehand)
    return found.messages


def _check_budget(options: Mapping[str, Any], beforehand: Beforehand) -> None:
    """Raise CompileError when no channels can be removed, or too few to reach the budget."""
    data: KnownData | None = options["data"]
    graph = beforehand.graph()
    if graph is None or (data is not None and data.samples is None):
        return
    sizes = None if data is None or data.samples is None else sample_sizes(graph, data.samples)
    _, repair = _modes(data, options["importance"], options["repair"])
    names = {name: options[name] for name in ("align", "only", "except_")}
    _prunable(graph, sizes, repair, {name: options[name] for name in _BUDGETS}, **names)


@whole_graph(exact=False, learns=True, check=_check)
def prune_channels(
    graph: Graph,
    context: Context,
    *,
    macs: Ratio | None = None,
    params: Ratio | None = None,
    keep: Ratio | None = None,
    size: Ratio | Bytes | None = None,
    data: Dataset | None = None,
    importance: Importance | None = None,
    repair: Repair | None = None,
    align: Annotated[int, Within(1, 1024)] = 8,
    only: Names = Names(),  # noqa: B008
    except_: Names = Names(),  # noqa: B008
    seed: int = 0,
) -> None:
    """Remove channels down to a budget. One of `macs`, `params`, `keep` and `size` says what remains.

    Options:
        macs: the share of multiply-accumulates that may remain
        params: the share of parameters that may remain
        keep: the share of channels that each group keeps
        size: the bytes of weights that may remain, or their share
        data: samples to choose channels and repair weights with; a model of open sizes costs what it costs at theirs
        importance: which channels are removed first: `obs`, the default with data, by the loss after the best repair;
            `activation` and `taylor` by data, `taylor` with labels; `l1`, `l2` (the default without data), `fpgm` and
            `bn_scale` by weights
        repair: `least_squares`, the default with data, solves the weights after removed channels again; `bias` corrects
            means and batch-norm statistics; `none` changes no weights
        align: each group keeps a multiple of this many channels, or all
        only: prune only the channels of these nodes: names or globs of nodes, values, weights or modules
        except: do not prune the channels of these nodes
        seed: seed for the choice of samples
    """
    budgets = {"macs": macs, "params": params, "keep": keep, "size": size}
    _check_options(budgets)
    importance, repair = _modes(data, importance, repair)
    _check_data(data, importance, repair)
    sizes = None if data is None else sample_sizes(graph, data)
    groups, chosen, limit = _prunable(graph, sizes, repair, budgets, align=align, only=only, except_=except_)
    samples = None if data is None else Samples(graph, data)
    work = groups.cost({}).macs or 0
    if samples is not None:
        warn_of_samples(context, samples, "weights")
        work = work / samples.size if samples.fixed else work
        samples = affordable(samples, work, context)
    _warn_of_quantized(graph, context)
    # Widths are tried on samples that order and repair have not seen, for what counts is the loss on new ones.
    tried, read = (samples, samples) if samples is None or limit is None else samples.apart()
    # Widths and weights that hold for other images than these few; an order changes little with them.
    tried = None if tried is None else varied(tried, work, seed)
    read = None if read is None else enough_to_order(read, work)
    with Spill() as spill, small_products():
        readings = None
        if read is not None and (importance in NEEDS_DATA or repair == "least_squares"):
            context.progress("read the samples")
            readings = Readings(groups, chosen, read, spill, seed=seed)
        losses = Losses(groups, samples, chosen) if samples is not None and importance == "taylor" else None
        orders = _orders(groups, context, chosen, importance, readings=readings, losses=losses)
        if limit is not None:
            check_reachable(groups, chosen, limit, align, orders)
        if limit is None:
            assert keep is not None
            widths = uniform_widths(chosen, keep, align)
        else:
            mending = readings if repair == "least_squares" else None
            widths = widths_under(groups, context, chosen, orders, limit, align=align, samples=tried, readings=mending)
    staying = atoms(chosen, orders, widths)
    if not staying:
        raise Declined(
            "the model is already within the budget"
            if keep is None
            else f"keep={keep:.0%} and align={align} leave each group all its channels"
        )
    original = graph.copy()
    kept = kept_outputs(groups, staying)
    _cut(groups, context, staying, samples)
    if samples is not None and repair != "none":
        fitted = varied(samples, work, seed)
        done = repair_weights(graph, original, context, kept, fitted, mode=repair, seed=seed)
        record(context, done)


def _prunable(
    graph: Graph,
    sizes: Mapping[str, tuple[int, ...]] | None,
    repair: Repair,
    budgets: Mapping[str, Any],
    *,
    align: int,
    only: Names,
    except_: Names,
) -> tuple[Groups, list[Group], Budget | None]:
    """The channel groups, those that may shrink, and the budget, which is None for `keep`.

    `sizes` are the dimensions of one sample of each input. Raises CompileError when the budget cannot be reached.
    """
    graph.infer_shapes()
    groups = channel_groups(graph, sizes)
    chosen = select(groups, only, except_)
    if not chosen:
        raise nothing_to_prune(groups, named=bool(only or except_))
    if budgets["keep"] is not None:
        return groups, chosen, None
    limit = budget(groups, budgets["macs"], budgets["params"], budgets["size"], sampled=sizes is not None)
    limit = limit if repair == "none" else limit.with_biases(graph)
    check_reachable(groups, chosen, limit, align)
    return groups, chosen, limit


def _modes(
    data: Dataset | KnownData | None, importance: Importance | None, repair: Repair | None
) -> tuple[Importance, Repair]:
    """Importance and repair, where a recipe does not say them."""
    return importance or ("l2" if data is None else "obs"), repair or ("none" if data is None else "least_squares")


def _check_options(budgets: Mapping[str, float | None]) -> None:
    given = [name for name, value in budgets.items() if value is not None]
    if len(given) != 1:
        told = "none" if not given else " and ".join(f"`{name}`" for name in given)
        raise fail(
            f"prune_channels takes one of `macs`, `params`, `keep` and `size`; given: {told}",
            help="say what may remain: prune_channels(macs=50%)",
            code=Code.OPTION_CONFLICT,
        )


def _check_data(data: Dataset | KnownData | None, importance: Importance, repair: Repair) -> None:
    advice = "give it some: prune_channels(..., data=calib)"
    if data is None and importance in NEEDS_DATA:
        raise fail(f"importance={importance} needs samples", help=advice, code=Code.NEEDS_SAMPLES)
    if data is None and repair != "none":
        raise fail(f"repair={repair} needs samples", help=advice, code=Code.NEEDS_SAMPLES)
    if data is not None and data.unlabelled and importance == "taylor":
        raise fail(
            f"importance=taylor needs labels, but data `{data.name}` has none",
            help=data.label_help,
            code=Code.NEEDS_LABELS,
        )


def _warn_of_quantized(graph: Graph, context: Context) -> None:
    found = [node for node in graph.nodes if is_quantized(node)]
    if found:
        context.warn(
            f"the model is quantized, {graph.label(found[0])} first: quantized weights cannot be solved anew, and "
            "ranges stay those of all channels; prune before `quantize`, or behind `strip_qdq`"
        )


def _orders(
    groups: Groups,
    context: Context,
    chosen: Sequence[Group],
    importance: Importance,
    *,
    readings: Readings | None,
    losses: Losses | None,
) -> dict[int, Elimination]:
    found = {}
    with workers("order", _AT_ONCE) as pool:
        waiting = [pool.submit(order, groups, group, importance, readings=readings, losses=losses) for group in chosen]
        for index, (group, each) in enumerate(zip(chosen, waiting, strict=True)):
            context.progress("order channels", index, len(chosen))
            found[group.id] = each.result()
    return found


def _cut(groups: Groups, context: Context, staying: Mapping[int, Int64], samples: Samples | None) -> None:
    """Take the other channels out, and prove that nothing else has changed."""
    graph = groups.graph
    context.progress("remove channels")
    masked = groups.masked(staying)
    removed = sum(groups[index].size - len(kept) for index, kept in staying.items())
    note(graph, context, groups.slice(staying))
    prove(masked, graph, None if samples is None else [samples.few(_PROOF_SAMPLES)])
    context.record("remove channels", removed)
