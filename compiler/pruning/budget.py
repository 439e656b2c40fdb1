"""What a model may cost after pruning, and what to say when it cannot get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vggc.analysis.channels import Group, Groups, TotalCost
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.diagnostics import Code, CompileError, fail
from vggc.graph import Graph
from vggc.pruning.elimination import Elimination
from vggc.pruning.statistics import norm_behind
from vggc.pruning.widths import Left, Widths, narrowest
from vggc.values import Bytes, Ratio

_SHOWN = 4
"""Groups that a message tells of one by one."""


@dataclass(frozen=True)
class Budget:
    """A limit of one number of the whole model: `macs`, `params` or weight `bytes`.

    full     the number of the model as it is
    reserve  what repair may add to it
    """

    what: str
    limit: float
    full: float
    reserve: float = 0.0

    @property
    def word(self) -> str:
        """What is limited, in messages."""
        return {"macs": "MACs", "params": "parameters", "bytes": "bytes of weights"}[self.what]

    def of(self, cost: TotalCost) -> float:
        """The number that is limited, with what is in reserve."""
        found: float | None = getattr(cost, self.what)
        assert found is not None
        return found + self.reserve

    def with_biases(self, graph: Graph) -> Budget:
        """The same with room for the biases that repair gives to nodes without one."""
        if self.what == "macs":
            return self
        room = 0
        for node in graph.nodes:
            try:
                found = as_matrix(graph, node)
            except Unsuitable:
                continue
            if not found.has_bias and norm_behind(graph, node) is None:
                dtype = graph.dtype(node.outputs[0])
                size = dtype.itemsize if self.what == "bytes" and dtype is not None else 1
                room += found.bias_size * size
        return replace(self, reserve=float(room))


def budget(
    groups: Groups, macs: Ratio | None, params: Ratio | None, size: Ratio | Bytes | None, *, sampled: bool
) -> Budget:
    """The limit that one of the options gives; `sampled` says whether the recipe gives samples.

    Raises CompileError when the model's own number is not known.
    """
    full = groups.cost({})
    if macs is not None:
        if full.macs is None:
            raise _unknown_macs(groups, sampled=sampled)
        return Budget("macs", macs * full.macs, full.macs)
    if params is not None:
        return Budget("params", params * full.params, full.params)
    assert size is not None
    return Budget("bytes", size if isinstance(size, Bytes) else size * full.bytes, full.bytes)


def _unknown_macs(groups: Groups, *, sampled: bool) -> CompileError:
    unknown = groups.cost.unknown
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    params = "limit the parameters instead: prune_channels(params=50%)"
    sizes = "give sizes: prune_channels(..., data=calib) counts at those of the samples, set_input_shapes fixes them"
    advice = params if sampled else f"{sizes}; or {params}"
    return fail(f"the MACs of this model are unknown: those of {unknown[0]}{more}", help=advice, code=Code.PRUNE)


def check_reachable(
    groups: Groups,
    chosen: Sequence[Group],
    limit: Budget,
    align: int,
    orders: Mapping[int, Elimination] | None = None,
) -> None:
    """Raise CompileError when the budget is below what is left with every group at its narrowest.

    Without the `orders` in which atoms go, those that cost more than others of their group count as the mean one.
    """
    least: Widths = narrowest(chosen, align)
    cost = limit.of(groups.cost(least if orders is None else Left(groups, chosen, orders)(least)))
    if cost <= limit.limit:
        return
    facts = [("note", f"every group at its narrowest: {_share(cost, limit)} of the {limit.word}")]
    picked = {group.id for group in chosen}
    facts += _reasons([group for group in groups if group.id not in picked])
    raise fail(
        f"pruning cannot bring the {limit.word} down to {_share(limit.limit, limit)}: "
        f"the least it can reach is {_share(cost, limit)}",
        facts=tuple(facts),
        help=_finer(groups, chosen, limit, align) or f"ask for at least {_share(cost, limit, up=True)}",
        code=Code.PRUNE,
    )


def _finer(groups: Groups, chosen: Sequence[Group], limit: Budget, align: int) -> str:
    """The coarsest smaller `align` with which the budget can be met, if there is one."""
    while align > 1:
        align //= 2
        cost = limit.of(groups.cost(narrowest(chosen, align)))
        if cost <= limit.limit:
            return f"with align={align} it can reach {_share(cost, limit, up=True)}"
    return ""


def nothing_to_prune(groups: Groups, named: bool) -> CompileError:
    """The error for a model none of whose groups may shrink."""
    if named and groups.prunable:
        return fail(
            "`only` and `except` leave no channels to remove",
            help="name other nodes: " + ", ".join(group.name for group in groups.prunable[:_SHOWN]),
            code=Code.PRUNE,
        )
    return fail(
        "no channels of this model can be removed",
        facts=tuple(_reasons(list(groups))) or (("note", "it has no node with weights between two others"),),
        code=Code.PRUNE,
    )


def _reasons(groups: list[Group]) -> list[tuple[str, str]]:
    """Why groups keep all their channels, the widest first."""
    told = [("kept", f"{group.name}, {group.size} channels: {_why(group)}") for group in _widest(groups)[:_SHOWN]]
    more = len(groups) - _SHOWN
    return [*told, ("kept", f"and {more} more")] if more > 0 else told


def _widest(groups: list[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: -group.size)


def _why(group: Group) -> str:
    return f"it {group.frozen}" if group.frozen else "named by the recipe"


def _share(number: float, limit: Budget, *, up: bool = False) -> str:
    """A number as share of the whole model's, rounded, or rounded up, to a tenth of a percent."""
    share = 1000 * number / limit.full
    tenths = -int(-share // 1) if up else round(share)
    return f"{tenths / 10:g}%"
