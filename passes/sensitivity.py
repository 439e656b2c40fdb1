"""Measure the error that quantizing each convolution and matrix product causes. The model does not change.

Each node is quantized alone, and the outputs are compared with those of the float model: their mean squared error as a
share of their variance. The report has a table with the largest errors first. It shows which nodes to name in `except`
of `quantize`, and how few nodes cause most of the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vggc.calibration.samples import Samples, warn_of_samples
from vggc.data import Dataset
from vggc.diagnostics import Diagnostic, Diagnostics
from vggc.graph import Graph
from vggc.quantization.candidates import check_formats
from vggc.quantization.node_sensitivity import damage
from vggc.quantization.precisions import Placement
from vggc.quantization.quantize_graph import Settings
from vggc.rewrite import Beforehand, Context, whole_graph
from vggc.values import Names


def _check(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    found = Diagnostics()
    with found.collect():
        check_formats(beforehand.targets, options["precision"], options["placement"])
    found.extend(beforehand.dead_names(options, "only", "except_"))
    return found.messages


@whole_graph(check=_check)
def sensitivity(
    graph: Graph,
    context: Context,
    *,
    data: Dataset,
    precision: Literal["int8", "fp8", "int16", "w4a8"] = "int8",
    placement: Placement | None = None,
    only: Names = Names(),  # noqa: B008
    except_: Names = Names(),  # noqa: B008
) -> None:
    """Measure the error that quantizing each node alone causes.

    Options:
        data: samples to run the model on
        precision: the precision to quantize to
        placement: the runtime whose kernels would run the result, as in `quantize`
        only: measure only these nodes: names or globs of nodes, values, weights or modules, or operators
        except: do not measure these nodes
    """
    samples = Samples(graph, data)
    warn_of_samples(context, samples, "ranges")
    makers = {value.name: node for node in graph.nodes for value in node.outputs}
    found = damage(graph, context, samples, Settings(precision, placement, only=only, except_=except_))
    context.log.sensitivity = {graph.label(makers[name]): error for name, error in found.items()}
