"""Which channels of each group stay: the order in which they go, what that costs, and how many go under a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from vggc.analysis.channels import Group, Groups
from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Int64
from vggc.pruning import importance as scores
from vggc.pruning.budget import Budget
from vggc.pruning.elimination import Elimination, by_scores, eliminate
from vggc.pruning.group_readers import Readings
from vggc.pruning.losses import Losses
from vggc.pruning.sensitivity import Trials, calibrated
from vggc.pruning.widths import Widths, choose_widths
from vggc.rewrite import Context

Importance = Literal["l1", "l2", "fpgm", "bn_scale", "activation", "obs", "taylor"]

NEEDS_DATA: frozenset[str] = frozenset({"activation", "obs", "taylor"})

_OF_WEIGHTS = {"l1": scores.l1, "l2": scores.l2, "fpgm": scores.fpgm, "bn_scale": scores.bn_scale}


def order(
    groups: Groups,
    group: Group,
    importance: Importance,
    *,
    readings: Readings | None,
    losses: Losses | None = None,
) -> Elimination:
    """The order in which the atoms of a group go. Raises CompileError where the group has not what is asked for."""
    if importance in _OF_WEIGHTS:
        found = _OF_WEIGHTS[importance](groups.graph, group)
        # What no weights make, such as the channels a Pad adds, is the same for every input.
        if not found.any() and (group.producers or group.carriers):
            what = "no batch norm" if importance == "bn_scale" else "no constant weights"
            quantized = any(node.op == "DequantizeLinear" for node in groups.graph.nodes)
            raise fail(
                f"the channels of {group.name} have {what} that could tell their importance",
                help="prune before `quantize`, or behind `strip_qdq`"
                if quantized and importance != "bn_scale"
                else "choose another importance, or leave them out with `except`",
                code=Code.PRUNE,
            )
        return by_scores(found)
    assert readings is not None
    if importance == "activation":
        return by_scores(scores.activation(readings, group))
    if importance == "taylor":
        assert losses is not None
        return by_scores(losses.taylor(group))
    problems = (each for reader in readings.readers(group) for _, each in readings.problems(group, reader))
    return eliminate(group.size, problems, readings.energies(group))


def widths_under(
    groups: Groups,
    context: Context,
    chosen: Sequence[Group],
    orders: Mapping[int, Elimination],
    limit: Budget,
    *,
    align: int,
    samples: Samples | None,
    readings: Readings | None,
) -> Widths:
    """Widths of the least loss under a budget.

    With samples the losses of each group are put into one unit, the error of the model's outputs, by trials: first
    where a uniform width would lie, then where the first choice has put it.
    """
    if samples is None:
        return choose_widths(groups, chosen, orders, limit, align=align)
    # Costs go with the product of two widths.
    share = float(np.sqrt(min(1.0, limit.limit / limit.full)))
    counts = {group.id: [round(share * group.size)] for group in chosen}
    widths: Widths = {}
    with Spill() as spill:
        trials = Trials(groups, samples, readings, spill, trials=2 * len(chosen))
        ordered = trials.in_order(chosen)
        for turn in range(2):
            losses = {}
            if turn:
                trials.restart()
            for index, group in enumerate(ordered):
                context.progress("try widths", turn * len(chosen) + index, 2 * len(chosen))
                losses[group.id] = calibrated(group, orders[group.id], trials, counts[group.id])
            widths = choose_widths(groups, chosen, losses, limit, align=align)
            for group in chosen:
                counts[group.id].append(widths[group.id])
    return widths


def atoms(chosen: Sequence[Group], orders: Mapping[int, Elimination], widths: Widths) -> dict[int, Int64]:
    """The atoms that stay, (atoms left,) by group id, of the groups that lose some."""
    return {
        group.id: group.best(orders[group.id].scores, widths[group.id])
        for group in chosen
        if widths[group.id] < group.size
    }
