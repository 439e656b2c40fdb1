"""What quantizing one node alone does."""

from __future__ import annotations

from collections.abc import Callable

from vggc.data import Dataset
from vggc.graph import Graph
from vggc.passes.sensitivity import sensitivity


def test_the_node_that_reads_the_outlier_suffers_most(three_products: Graph, rows: Callable[[int], Dataset]) -> None:
    before = three_products.export(1 << 40).model.SerializeToString()
    found = sensitivity(three_products, data=rows(64)).sensitivity
    assert three_products.export(1 << 40).model.SerializeToString() == before
    assert len(found) == 3
    worst, second = sorted(found, key=lambda name: -found[name])[:2]
    assert worst == "MatMul of `b0`"
    assert found[worst] > 100 * found[second]
