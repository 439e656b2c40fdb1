"""`vggc view`: a model as a graph, on a page for a browser."""

from __future__ import annotations

from pathlib import Path

import click

from vggc.cli.console import replace_text, stdout
from vggc.cli.interrupts import LoadingCommand

_PATH = click.Path(path_type=Path)


@click.command(cls=LoadingCommand)
@click.argument("model", type=_PATH)
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="The page. [default: <model>-graph.html here]")
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
def view(model: Path, output: Path | None, opened: bool) -> None:
    """Write a page that shows MODEL as a graph: blocks, shapes, attributes, weights, and where nodes come from."""
    from vggc.analysis.costs import costs
    from vggc.graph import Graph
    from vggc.report.picture import picture
    from vggc.report.view_page import view_page

    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    counted = costs(graph)
    page = output or Path(f"{model.stem}-graph.html")
    replace_text(page, view_page(model.name, picture(graph, counted), counted))
    stdout().print(f"page: {page}")
    if opened:
        click.launch(str(page))
