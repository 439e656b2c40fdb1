"""What the values of a plan are like on samples, found when it is needed."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

from vggc.calibration.channel_extents import ChannelExtents, ExtentProbe
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.quantization.output_error import is_read_along_rows
from vggc.quantization.plan import Plan
from vggc.quantization.sampled import Sampled, sample


class Observation:
    """The sites and products of a plan before it is inserted.

    Extents are those on all `samples`; all else is found on the `few` of them, and `others` are those that are not
    among the few. The few are run once: `sampled` finds their extents too.
    """

    def __init__(self, plan: Plan, samples: Samples, few: Samples, others: Samples | None, spill: Spill) -> None:
        self._plan = plan
        self._samples = samples
        self.few = few
        self._others = others
        self.spill = spill
        self._probe: ExtentProbe | None = None

    @cached_property
    def extents(self) -> dict[str, ChannelExtents]:
        """Of each site, by the name of its value."""
        probe, left, self._probe = self._probe, self._others, None
        if probe is None:
            probe, left = self._new_probe(), self._samples
        if left is not None:
            probe.run(left)
        return probe.checked(self._samples)

    @cached_property
    def sampled(self) -> Sampled:
        """Windows of the sites and rows of the products."""
        plan = self._plan
        sites = [(site.value, is_read_along_rows(plan, site)) for site in plan.sites]
        matrices = {}
        for product in plan.products:
            # What is not suitable is declined where its rows are needed.
            with suppress(Unsuitable):
                matrices[product.node.outputs[0].name] = as_matrix(plan.graph, product.node)
        self._probe = self._new_probe()
        return sample(plan.graph, sites, matrices, self.few, self.spill, probe=self._probe)

    def _new_probe(self) -> ExtentProbe:
        return ExtentProbe(self._plan.graph, [site.value for site in self._plan.sites])
