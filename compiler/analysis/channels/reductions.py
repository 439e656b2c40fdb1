"""Operators that look at all positions along an axis at once: sums, means, maxima, softmax, normalisation."""

from __future__ import annotations

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.sweep import Site, operator

_NEEDS_ALL = "reaches {}, whose result changes when a channel goes"


@operator("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
def reduce_sum(site: Site) -> None:
    """Sums: a channel that is gone counts as one that is zero."""
    _reduce(site, sums=True)


@operator("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp")
def reduce_other(site: Site) -> None:
    """Everything else over an axis needs all of it."""
    _reduce(site, sums=False)


def _reduce(site: Site, *, sums: bool) -> None:
    axes = site.axes(0)
    if axes is None or not any(axes):
        return
    listed = site.integers("axes", 1)
    if listed is None and site.has(1):
        site.freeze_all("reaches {}, whose axes are computed at run time")
        return
    every = not listed and not site.node.attrs.get("noop_with_empty_axes", 0)
    gone = set(range(len(axes))) if every else {each % len(axes) for each in listed or ()}
    for index in gone:
        if sums:
            site.contract(0, index, axes[index])
        else:
            site.freeze(axes[index], _NEEDS_ALL)
    keeps = bool(site.node.attrs.get("keepdims", 1))
    site.set([None if index in gone else axis for index, axis in enumerate(axes) if keeps or index not in gone])


@operator("ArgMax", "ArgMin")
def arg(site: Site) -> None:
    """The number of a position: of another channel when some are gone."""
    axes = site.axes(0)
    if axes is None:
        return
    at = int(site.node.attrs.get("axis", 0)) % len(axes)
    site.freeze(axes[at], _NEEDS_ALL)
    keeps = bool(site.node.attrs.get("keepdims", 1))
    site.set([None if index == at else axis for index, axis in enumerate(axes) if keeps or index != at])


@operator("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
def over_one_axis(site: Site) -> None:
    """Before opset 13 the softmax family works over all axes from `axis` on."""
    older = site.opset < 13 and site.node.op != "LpNormalization"
    _over(site, int(site.node.attrs.get("axis", 1 if older else -1)), onwards=older)


@operator("LayerNormalization", "RMSNormalization")
def over_axes_from(site: Site) -> None:
    """Statistics over all axes from `axis` on."""
    _over(site, int(site.node.attrs.get("axis", -1)), onwards=True)


@operator("LRN", "GroupNormalization")
def over_channels(site: Site) -> None:
    """Neighbouring channels, or groups of them, change each other."""
    _over(site, 1, onwards=False)


@operator("CumSum")
def running(site: Site) -> None:
    """Running sums over one axis: a removed channel counts in all that follow."""
    axes, at = site.axes(0), site.numbers(1)
    if at is None:
        site.freeze_all("reaches {}, whose axis is computed at run time")
    elif axes is not None:
        _over(site, int(at), onwards=False)


@operator("MeanVarianceNormalization")
def mean_variance(site: Site) -> None:
    """Statistics over some axes."""
    axes = site.axes(0)
    if axes is not None:
        over = [int(each) % len(axes) for each in site.node.attrs.get("axes", (0, 2, 3))]
        site.set(_without(site, axes, over))


def _over(site: Site, at: int, *, onwards: bool) -> None:
    axes = site.axes(0)
    if axes is not None:
        at %= len(axes)
        site.set(_without(site, axes, range(at, len(axes)) if onwards else [at]))


def _without(site: Site, axes: list[Axis | None], over: range | list[int]) -> list[Axis | None]:
    return site.freeze_except(axes, [index for index in range(len(axes)) if index not in over], _NEEDS_ALL)
