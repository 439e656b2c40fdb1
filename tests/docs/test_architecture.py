"""ARCHITECTURE.md shows the rooms there are: its picture and its table are those of the import contract."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from vggc.binding.modules import import_file

ROOT = Path(__file__).parents[2]
rooms = import_file(ROOT / "docs" / "rooms.py")


def test_the_picture_and_the_table_are_current() -> None:
    assert rooms.PICTURE.read_text(encoding="utf-8") == rooms.picture(), "run `make map`"
    assert rooms.PAGE.read_text(encoding="utf-8") == rooms.page(), "run `make map`"


def test_the_picture_shows_each_room_once_and_in_its_layer() -> None:
    drawing = ElementTree.fromstring(rooms.picture())
    texts = drawing.iter("{http://www.w3.org/2000/svg}text")
    heights: dict[str, list[str]] = {}
    for text in texts:
        if re.fullmatch(r"\w+", text.text or ""):
            heights.setdefault(text.attrib["y"], []).append(str(text.text))
    assert list(heights.values()) == [list(layer.rooms) for layer in rooms.layers()]


def test_every_entry_of_the_compiler_is_a_room() -> None:
    named = {room for layer in rooms.layers() for room in layer.rooms}
    entries = {
        path.stem for path in (ROOT / "compiler").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert entries - {"__init__"} <= named


def test_the_code_it_names_exists() -> None:
    text = rooms.PAGE.read_text(encoding="utf-8")
    compile_py = (ROOT / "compiler/pipeline/compile.py").read_text(encoding="utf-8")
    assert "(compiler/pipeline/compile.py)" in text
    assert "def compile_model(" in compile_py and "Runner(" in compile_py
    for name in re.findall(r"`((?:tests|compiler)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name
