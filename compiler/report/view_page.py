"""The page of `vggc view`: one model as a graph, in one HTML file that needs no network."""

from __future__ import annotations

from collections import Counter

from vggc.analysis.costs import Costs
from vggc.diagnostics.number_text import counted, human_bytes, human_count
from vggc.report.graph_data import GraphData
from vggc.report.graph_section import graph_section
from vggc.report.page_frame import GRAPH_SCRIPTS, framed
from vggc.report.picture import Picture
from vggc.report.sections import head_cell, heads, number_cell, number_heads, section, text, titled_table


def view_page(name: str, picture: Picture, costs: Costs) -> str:
    """A model whose file is called `name`: its size, its operators, its graph. Names are always escaped."""
    data = GraphData()
    data.add(name, picture, {})
    sizes = (
        counted(len(picture.nodes), "node"),
        f"{human_count(costs.params)} parameters",
        f"{human_count(costs.macs)} MACs",
        f"{human_bytes(costs.weight_bytes)} of weights",
    )
    lead = f'<h1>{text(name)}</h1>\n<p class="lead">{text(", ".join(sizes))}</p>'
    return framed(
        name,
        "\n\n".join((lead, _interface(picture), graph_section([(name, picture)]), _operators(picture))),
        links=["graph", "operators"],
        data={"costs": [], "gates": [], "sensitivity": [], **data.as_dict()},
        scripts=("common.js", *GRAPH_SCRIPTS),
    )


def _interface(picture: Picture) -> str:
    ends = (("inputs", picture.inputs), ("outputs", picture.outputs))
    listed = "".join(f"<dt>{name}</dt><dd>{text(', '.join(values))}</dd>\n" for name, values in ends)
    return f'<dl class="facts">\n{listed}</dl>'


def _operators(picture: Picture) -> str:
    rows = []
    for op, count in sorted(Counter(node.op for node in picture.nodes).items(), key=lambda each: (-each[1], each[0])):
        own = [node for node in picture.nodes if node.op == op]
        macs, size = sum(node.macs or 0 for node in own), sum(node.bytes for node in own)
        cells = number_cell(count) + number_cell(human_count(macs), macs) + number_cell(human_bytes(size), size)
        rows.append(f"<tr>{head_cell(op)}{cells}</tr>")
    head = heads("operator") + number_heads("nodes", "MACs", "weights")
    return section("operators", "Operators", titled_table("operators", "The operators of the model", head, rows))
