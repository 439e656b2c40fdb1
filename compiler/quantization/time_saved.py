"""How much time quantizing each product saves: measured on the CPU, estimated for GPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod

from vggc.analysis.costs import costs
from vggc.analysis.shapes.value_shapes import Shapes
from vggc.execution.profiling import node_seconds
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.operators.gpu_speed import Gpu, Number, Work, gpu_seconds
from vggc.operators.quantizers import is_quantizer
from vggc.quantization.plan import Product

_SECONDS = 0.5
"""How long each of the two models is profiled."""


def saved_on_cpu(in_float: Graph, quantized: Graph, feeds: Feeds, products: Collection[str]) -> dict[str, float]:
    """Seconds of a run that quantizing saves at each product, by the value that it computes; negative for a loss.

    Both graphs are run by onnxruntime with `feeds`. `products` are the values that the quantized products compute,
    under the same names in both graphs. What follows a product up to the next one counts as a part of it: activations,
    and what converts between integers and float. A product that has no kernel of its own in one of the graphs gets its
    share by its multiplications. A product in float between quantized ones also needs conversions of what it reads and
    gives, which quantizing it saves, too.
    """
    before, after = (node_seconds(graph, feeds, _SECONDS) for graph in (in_float, quantized))
    saved = differences(
        seconds_by_product(in_float, before, products),
        seconds_by_product(quantized, after, products),
        _macs(in_float, products),
    )
    rate = conversion_rate(quantized, after)
    converted = _numbers_between(in_float, products)
    return {name: seconds + rate * converted[name] for name, seconds in saved.items()}


def conversion_rate(quantized: Graph, seconds: Mapping[str, float]) -> float:
    """Seconds for each number that the graph converts between integers and float; 0 when it converts none.

    `seconds` are those of nodes, by their first outputs. Values of unknown size are left out.
    """
    shapes = Shapes(quantized)
    sizes = {
        node.outputs[0].name: _size(shapes.of_one_sample(node.outputs[0]))
        for node in quantized.nodes
        if is_quantizer(node) and node.outputs[0].name in seconds
    }
    numbers = sum(size or 0 for size in sizes.values())
    return sum(seconds[name] for name, size in sizes.items() if size) / numbers if numbers else 0.0


def _numbers_between(graph: Graph, products: Collection[str]) -> dict[str, int]:
    """How many numbers each product reads from other nodes, and gives to them, for one sample.

    Values of unknown size count as nothing.
    """
    shapes = Shapes(graph)
    found = {}
    for node in graph.nodes:
        if node.outputs and node.outputs[0].name in products:
            values = [value for value in (*node.inputs, *node.outputs) if graph.producer(value) is not None]
            inner = [value for value in values if not graph.is_result(value)]
            found[node.outputs[0].name] = sum(_size(shapes.of_one_sample(value)) or 0 for value in inner)
    return found


def differences(
    before: Mapping[str, float], after: Mapping[str, float], macs: Mapping[str, int | None]
) -> dict[str, float]:
    """What `after` is less than `before` for each product of `macs`; by its share of MACs where one of them lacks it.

    A product of unknown MACs that one of them lacks counts as nothing.
    """
    measured = {name: before[name] - after[name] for name in macs if name in before and name in after}
    counted = sum(macs[name] or 0 for name in measured)
    rate = sum(measured.values()) / counted if counted else 0.0
    return {name: measured.get(name, rate * (number or 0)) for name, number in macs.items()}


def seconds_by_product(graph: Graph, seconds: Mapping[str, float], products: Collection[str]) -> dict[str, float]:
    """The seconds of nodes, which are given by their first outputs, summed by the product that they follow.

    Of several products before a node, such as those of a residual sum, it is the last one in the graph's order. Time
    before the first product, and of kernels that stand for no node, counts for none.
    """
    positions: dict[int, int] = {}
    names: dict[int, str] = {}
    found: dict[str, float] = {}
    for position, node in enumerate(graph.nodes):
        name = node.outputs[0].name if node.outputs else ""
        if name in products:
            names[position] = name
            before = position
        else:
            before = max((positions[id(value)] for value in node.inputs if id(value) in positions), default=-1)
        positions.update((id(value), before) for value in node.outputs if before >= 0)
        if before >= 0 and name in seconds:
            found[names[before]] = found.get(names[before], 0.0) + seconds[name]
    return found


def saved_on_gpu(graph: Graph, products: Sequence[Product], gpu: Gpu, high: Number, low: Number) -> dict[str, float]:
    """Seconds that each product of a graph in float takes less in type `low` than in `high`, for one sample.

    A product of unknown shape counts as nothing.
    """
    macs = _macs(graph, [product.node.outputs[0].name for product in products])
    shapes = Shapes(graph)
    shapes.complete()
    found = {}
    for product in products:
        name = product.node.outputs[0].name
        sizes = [
            _size(shapes.of_one_sample(value)) for value in (product.node.inputs[product.data], product.node.outputs[0])
        ]
        number = macs[name]
        if number is None or None in sizes:
            found[name] = 0.0
            continue
        moved = sum(each or 0 for each in sizes) + prod(product.weights.shape)
        work = Work(number, product.inputs // product.group, product.outputs // product.group, product.group, moved)
        found[name] = gpu_seconds(gpu, work, high) - gpu_seconds(gpu, work, low)
    return found


def _size(shape: tuple[int | None, ...] | None) -> int | None:
    return None if shape is None or None in shape else prod(each or 0 for each in shape)


def _macs(graph: Graph, products: Collection[str]) -> dict[str, int | None]:
    """The MACs of nodes for one sample, by the names of what they compute."""
    found = zip(graph.nodes, costs(graph).nodes, strict=True)
    return {
        node.outputs[0].name: cost.macs for node, cost in found if node.outputs and node.outputs[0].name in products
    }
