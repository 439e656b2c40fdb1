"""Ranges that an earlier run has found on the same samples, for the same graph, in the same way.

The key is a hash over all that they depend on: what computes (vggc.cache.environment), the graph at this point with its
weights, which of its values are quantized for which readers, the samples, and how ranges are chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vggc.cache import VARIABLE, Store, Unusable, not_written
from vggc.cache.environment import environment
from vggc.cache.keys import digest
from vggc.calibration.samples import Samples
from vggc.graph.fingerprint import fingerprint
from vggc.quantization.grids import SMALLEST_SCALE, Quantizer
from vggc.quantization.plan import Plan
from vggc.rewrite import Context

_KIND = "ranges"
_LOST = "ranges are not kept for the next run"


class FamilyRanges(NamedTuple):
    """How to quantize each family of a plan's sites, and what to warn of."""

    quantizers: dict[int, Quantizer]
    warnings: list[str]


def kept(
    plan: Plan, context: Context, samples: Samples, calibration: str, find: Callable[[], FamilyRanges]
) -> FamilyRanges:
    """What `find` finds for a plan, or has found in an earlier run.

    `context` notes what came from the cache, and warns when the cache cannot be used; then ranges are found anew.
    Data that no hash identifies is always read. Raises what `find` raises, and CompileError when VGGC_CACHE
    has no meaning.
    """
    store = _store(context) if samples.data.repeatable else None
    if store is None:
        return find()
    key = _key(plan, samples, calibration)
    try:
        content = store.read_json(_KIND, key)
        if content is not None:
            found = _unpacked(plan, content)
            context.note(
                f"ranges of {len(plan.sites)} values are those of an earlier run on the same samples; "
                f"with the environment variable {VARIABLE}=off they are found anew"
            )
            return found
    except Unusable as reason:
        context.log.cache_warnings.append(
            f"ranges were computed again: a result of an earlier run cannot be used: {reason}"
        )
    found = find()
    try:
        store.write_json(_KIND, key, _packed(plan, found))
    except OSError as error:
        context.log.cache_warnings.append(not_written(_LOST, store.folder, error.strerror or str(error)))
    return found


def _store(context: Context) -> Store | None:
    try:
        return context.cache()
    except RuntimeError as error:
        # A user without a home folder.
        context.log.cache_warnings.append(not_written(_LOST, "~", str(error)))
        return None


def _packed(plan: Plan, ranges: FamilyRanges) -> dict[str, Any]:
    found = {site.value.name: ranges.quantizers[site.family] for site in plan.sites}
    # JSON keeps every digit of a float.
    return {
        "ranges": {name: [float(each.scale), int(each.zero_point)] for name, each in found.items()},
        "warnings": ranges.warnings,
    }


def _unpacked(plan: Plan, content: Any) -> FamilyRanges:
    """Raises Unusable for what `_packed` would not have written for this plan."""
    try:
        found = {str(name): (float(scale), int(zero)) for name, (scale, zero) in content["ranges"].items()}
        warnings = [str(each) for each in content["warnings"]]
        quantizers = {site.family: Quantizer(plan.grid, *found[site.value.name]) for site in plan.sites}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise Unusable("the entry has another form than it should") from None
    for each in quantizers.values():
        zero_fits = each.zero_point == 0 or plan.grid.low <= each.zero_point <= plan.grid.high
        if not (SMALLEST_SCALE <= each.scale < float("inf") and zero_fits):
            raise Unusable("the entry has a scale or a zero point that cannot be")
    return FamilyRanges(quantizers, warnings)


def _key(plan: Plan, samples: Samples, calibration: str) -> str:
    sites = [
        (
            site.value.name,
            site.family,
            None if site.ceiling is None else float(site.ceiling),
            [(node.outputs[0].name, index) for node, index in site.readers],
        )
        for site in plan.sites
    ]
    products = [(each.node.outputs[0].name, each.data, each.weight, each.bias, each.axis) for each in plan.products]
    parts = {
        "environment": environment(),
        "graph": fingerprint(plan.graph),
        # What warnings call the data is a part of what is kept.
        "data": [samples.data.sha256, samples.name, samples.count, samples.size],
        "calibration": calibration,
        "grid": [type(plan.grid).__name__, plan.grid.name, plan.grid.low, plan.grid.high],
        "sites": sites,
        "products": products,
    }
    return digest(parts)
