"""What of a graph is to be quantized, before any number is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx_graphsurgeon as gs

from vggc.analysis.union_find import UnionFind
from vggc.graph import Graph
from vggc.operators.roles import group_count, output_channels, summed_channels
from vggc.quantization.grids import WEIGHT8, Grid


@dataclass(eq=False)
class QuantizationSite:
    """A value that is quantized, once, for all those of its readers that want it so.

    readers  (node, input) that will read it behind its QuantizeLinear and DequantizeLinear
    family   sites of one family share one scale: values whose numbers are the same, or that meet in a Concat
    ceiling  what the value never exceeds, when a Clip in front of it says so
    """

    value: gs.Tensor
    readers: list[tuple[gs.Node, int]] = field(default_factory=list)
    family: int = 0
    ceiling: float | None = None


@dataclass(frozen=True, eq=False)
class Product:
    """A node whose constant weights are quantized.

    data, weight, bias  which of its inputs they are; None for no bias
    axis                the axis of the weights along which its output channels lie
    """

    node: gs.Node
    data: int
    weight: int
    bias: int | None
    axis: int

    @property
    def weights(self) -> gs.Constant:
        value = self.node.inputs[self.weight]
        assert isinstance(value, gs.Constant)
        return value

    @property
    def group(self) -> int:
        """Into how many blocks a convolution divides its channels."""
        return group_count(self.node)

    @property
    def outputs(self) -> int:
        """How many output channels."""
        return output_channels(self.node, self.weights.shape, self.weight)

    @property
    def inputs(self) -> int:
        """How many input channels."""
        return summed_channels(self.node, self.weights.shape, self.weight) * self.group


class Plan:
    """Sites and products, and which nodes stay as they are and why.

    grid          of the sites
    weight_grid   of the weights, with a scale for each output channel
    integer_bias  whether the kernels add an int32 bias: it is stored as such, behind a DequantizeLinear
    """

    def __init__(
        self,
        graph: Graph,
        products: Iterable[Product],
        grid: Grid,
        weight_grid: Grid = WEIGHT8,
        *,
        integer_bias: bool = False,
    ) -> None:
        self.graph = graph
        self.products = list(products)
        self.grid = grid
        self.weight_grid = weight_grid
        self.integer_bias = integer_bias
        self.kept: list[tuple[gs.Node, str]] = []
        self._sites: dict[int, QuantizationSite] = {}
        self._families = UnionFind()

    @property
    def sites(self) -> list[QuantizationSite]:
        """In the order in which they were found, those left that have readers; families are numbered anew."""
        for site in self._sites.values():
            site.family = self._families.root(site.family)
        return [site for site in self._sites.values() if site.readers]

    def site(self, value: gs.Tensor) -> QuantizationSite | None:
        return self._sites.get(id(value))

    def family(self, product: Product) -> int:
        """The family whose scale the data of a product has.

        A Pad between the QuantizeLinear and the product keeps the scale: the site then has no readers.
        """
        return self._families.root(self._sites[id(product.node.inputs[product.data])].family)

    def read(self, value: gs.Tensor, node: gs.Node, index: int) -> QuantizationSite:
        """Have a node read a value quantized."""
        if id(value) not in self._sites:
            self._sites[id(value)] = QuantizationSite(value, family=len(self._sites))
        site = self._sites[id(value)]
        if all(each is not node or at != index for each, at in site.readers):
            site.readers.append((node, index))
        return site

    def read_everywhere(self, value: gs.Tensor) -> QuantizationSite | None:
        """Have every node of the graph itself that reads a value read it quantized; None when there is none."""
        own = {id(node) for node in self.graph.nodes}
        for node in self.graph.readers(value):
            for index, given in enumerate(node.inputs):
                if given is value and id(node) in own:
                    self.read(value, node, index)
        return self.site(value)

    def unite(self, first: QuantizationSite, second: QuantizationSite) -> None:
        """Have two sites share one scale."""
        self._families.unite(first.family, second.family)

    def families(self) -> dict[int, list[QuantizationSite]]:
        """The sites that share a scale, by the number of their family."""
        found: dict[int, list[QuantizationSite]] = {}
        for site in self.sites:
            found.setdefault(site.family, []).append(site)
        return found

    def all_read(self, value: gs.Tensor) -> bool:
        """Whether everything that sees a value reads it quantized."""
        site = self.site(value)
        if site is None or self.graph.is_result(value):
            return False
        return all(
            any(each is node and at == index for each, at in site.readers)
            for node in self.graph.readers(value)
            for index, given in enumerate(node.inputs)
            if given is value
        )
