"""The section of a page that shows graphs: drawings, the facts of the chosen node, and lists of all nodes."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.report.picture import Picture
from vggc.report.sections import section, text

_HINT = "operator, name, shape or recipe line"

_ABOUT = (
    "<p>A click on a node shows its facts, and a click on a block opens or closes it. "
    "Drag or scroll to move, and use the buttons or Ctrl and the wheel to zoom.{compared}</p>"
)
_COMPARED = (
    " Dashed nodes of the model as read are gone, and nodes of the compiled model with a thick frame are new. "
    "A recipe line lights up the nodes that it changed: use its button in the section Recipe."
)
_LISTS = (
    "<p>The same nodes as {number}, in the order in which they run. In a list, the arrow keys, Home and End move, "
    "and the facts of the node are shown above it.{enter}</p>"
)
_ENTER = " Enter goes to the same value in the other model."


def graph_section(pictures: Sequence[tuple[str, Picture]]) -> str:
    """One graph, or the model as read beside the compiled one. Scripts draw them from the data of the page."""
    both = len(pictures) > 1
    return section(
        "graph",
        "Graph",
        _ABOUT.format(compared=_COMPARED if both else ""),
        "<noscript><p>Scripts draw the graph, but scripts are switched off here.</p></noscript>",
        _TOOLS,
        '<div class="flows">\n' + "".join(_flow(side, title) for side, (title, _) in enumerate(pictures)) + "</div>",
        '<div id="node" role="region" aria-label="The chosen node"></div>',
        _LISTS.format(number="lists" if both else "a list", enter=_ENTER if both else ""),
        '<div class="graphs">\n'
        + "".join(_nodes(side, title, len(picture.nodes)) for side, (title, picture) in enumerate(pictures))
        + "</div>",
    )


_TOOLS = """<div class="tools" id="tools" hidden>
<label>Colour <select id="colour"></select></label>
<label>Find <input id="find" type="search" autocomplete="off" spellcheck="false"></label>
<button type="button" data-do="next">Next</button>
<button type="button" data-do="open">Open all blocks</button>
<button type="button" data-do="close">Close all blocks</button>
<button type="button" data-do="in" aria-label="Zoom in">+</button>
<button type="button" data-do="out" aria-label="Zoom out">&minus;</button>
<button type="button" data-do="fit">Fit</button>
<p id="legend"></p>
<p id="lit" role="status"></p>
</div>"""


def _flow(side: int, title: str) -> str:
    return (
        f'<figure class="flow" data-flow="{side}">\n<figcaption>{text(title)}</figcaption>\n'
        f'<div class="canvas" tabindex="0" role="region" aria-label="Drawing: {text(title)}"></div>\n</figure>\n'
    )


def _nodes(side: int, title: str, count: int) -> str:
    return (
        f'<details class="graph" data-graph="{side}">\n<summary>{text(title)}: {count} nodes</summary>\n'
        f'<label>Find <input type="search" autocomplete="off" spellcheck="false" placeholder="{_HINT}"></label>\n'
        f'<p role="status" class="found"></p>\n'
        f'<div class="nodes" role="region" aria-label="{text(title)}: the nodes" tabindex="0"></div>\n</details>\n'
    )
