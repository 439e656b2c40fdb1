"""The picture and the table of the rooms in ARCHITECTURE.md, made from the import contract: `make map`.

The layers come from `[tool.importlinter]` in pyproject.toml, what a room owns from the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
BEGIN, END = "<!-- made by `make map` -->\n", "<!-- end of what `make map` made -->\n"

WIDTH, MARGIN, HEIGHT, GAP = 640, 20, 34, 10
STYLE = """
  text { font: 14px ui-monospace, monospace; text-anchor: middle; fill: #1f2328 }
  .page, .room { fill: #ffffff } .row { fill: #eef1f6 } .room, .arrow { stroke: #57606a } .arrow { fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .page { fill: #0d1117 } .row { fill: #161b22 } .room { fill: #21262d } .room, .arrow { stroke: #8b949e }
  }
"""


@dataclass(frozen=True)
class Layer:
    """Rooms of one layer. Those of an `open` layer may import each other, those of a closed one may not."""

    rooms: tuple[str, ...]
    open: bool


def layers() -> list[Layer]:
    """The layers of the import contract, the one that may import all others first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return [Layer(tuple(re.findall(r"\w+", line)), ":" in line) for line in contract["layers"]]


def place(room: str) -> Path:
    """The folder or file of the repository that a room is."""
    for path in (ROOT / room, ROOT / "compiler" / room, ROOT / "compiler" / f"{room}.py"):
        if path.exists() and room not in ("recipes", "compiler"):
            return path
    raise ValueError(f"no room `{room}`")


def owns(room: str) -> str:
    """What a room owns: the first sentence of its docstring."""
    path = place(room)
    text = (path / "__init__.py" if path.is_dir() else path).read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    if not first:
        raise ValueError(f"`{room}` has no docstring that says what it owns")
    return " ".join(first.split()).rstrip(":")


def table() -> str:
    """The rooms as a table, a layer after the other."""
    lines = ["| room | owns |", "|---|---|"]
    for layer in layers():
        for room in layer.rooms:
            path = place(room)
            name = path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
            lines.append(f"| [`{name}`]({name}) | {owns(room)} |")
    return "\n".join(lines) + "\n"


def picture() -> str:
    """The layers as rows of boxes, in SVG."""
    rows = layers()
    height = 2 * MARGIN + len(rows) * (HEIGHT + GAP) - GAP
    boxes = "\n".join(box for number, layer in enumerate(rows) for box in _row(layer, MARGIN + number * (HEIGHT + GAP)))
    arrow = MARGIN / 2 + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n'
        f"<title>The rooms of vggc: each may import those below it</title>\n<style>{STYLE}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n{boxes}\n'
        f'<path class="arrow" d="M{arrow} {MARGIN} V{height - MARGIN} m-5 -8 l5 8 l5 -8"/>\n</svg>\n'
    )


def _row(layer: Layer, top: int) -> Iterator[str]:
    left, inner = 2 * MARGIN, WIDTH - 3 * MARGIN
    yield f'<rect class="row" x="{left}" y="{top}" width="{inner}" height="{HEIGHT}" rx="6"/>'
    width, between = 150, 34
    start = left + (inner - len(layer.rooms) * width - (len(layer.rooms) - 1) * between) / 2
    middle = top + HEIGHT / 2 + 5
    for number, room in enumerate(layer.rooms):
        x = start + number * (width + between)
        yield f'<rect class="room" x="{x:g}" y="{top + 4}" width="{width}" height="{HEIGHT - 8}" rx="4"/>'
        yield f'<text x="{x + width / 2:g}" y="{middle:g}">{room}</text>'
        if layer.open and number:
            yield f'<text x="{x - between / 2:g}" y="{middle:g}">&#8596;</text>'


def page() -> str:
    """ARCHITECTURE.md with the table as it should be."""
    head, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has lost the lines between which the table stands")
    return head + BEGIN + "\n" + table() + "\n" + END + tail


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
