"""The frame of every page: one HTML file with its style, its data and its scripts, which needs no network."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from vggc import __version__
from vggc.report.sections import text

GRAPH_SCRIPTS = ("dagre.min.js", "graphs.js", "layout.js", "flow.js", "facts.js", "graph.js")
"""What draws graphs, after common.js."""

PLOT_SCRIPTS = ("plot.min.js", "common.js")
"""What the scripts that draw plots need."""


def framed(title: str, main: str, *, links: Sequence[str], data: dict[str, Any], scripts: Sequence[str]) -> str:
    """A page. `main` is HTML, `links` names its sections, `scripts` the files of this package that run in it."""
    parts = {
        "title": text(title),
        "version": text(__version__),
        "links": "\n".join(f'<a href="#{each}">{each.capitalize()}</a>' for each in links),
        "main": main,
        # Inside <script> and <style> nothing may be escaped. These are files of this package.
        "style": _resource("style.css"),
        "scripts": "\n".join(f"<script>{_resource(each)}</script>" for each in scripts),
        "data": _script_json(data),
    }
    return re.sub(r"{{ (\w+) }}", lambda match: parts[match[1]], _resource("page.html"))


@cache
def _resource(name: str) -> str:
    return files("vggc.report").joinpath(name).read_text(encoding="utf-8")


def _script_json(data: dict[str, Any]) -> str:
    """JSON text that cannot end the script element around it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
