"""Read a recipe file, with a message for everything that can be wrong with it."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from vggc.diagnostics import Code, CompileError, fail, nearest
from vggc.diagnostics.source import Source
from vggc.grammar.shipped_recipes import SHIPPED, is_shipped, ready_recipes, recipe_file

MAX_BYTES = 1024 * 1024

STANDARD_INPUT = Path("-")
"""The path that means: read the recipe from standard input."""

_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "gzip"}


def read_recipe(path: Path) -> Source:
    """The text of a recipe file, of a recipe that comes with vggc when the path is `vggc:NAME.opt`, or `-`: of a pipe.

    A byte order mark is dropped and every kind of line end becomes `\\n`. Raises CompileError when the file is missing,
    a folder or another special file, unreadable, larger than MAX_BYTES or not UTF-8 text.
    """
    if path == STANDARD_INPUT:
        return _decode(Path("<stdin>"), _standard_input())
    if path.suffix == ".onnx":
        help = "the recipe comes before the model; `vggc new int8 MODEL --data FOLDER` writes one"
        raise fail(f"`{path}` is a model, not a recipe", help=help, code=Code.UNREADABLE_RECIPE)
    place = recipe_file(path)
    try:
        if place.is_dir():
            raise fail(f"`{path}` is a folder", help=_recipes_in(path), code=Code.UNREADABLE_RECIPE)
        if place.exists() and not place.is_file():
            raise fail(
                f"`{path}` is not a regular file",
                help="give the path of a recipe, a text file `NAME.opt`",
                code=Code.UNREADABLE_RECIPE,
            )
        with place.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise fail(f"there is no recipe `{path}`", help=_similar_file(path), code=Code.UNREADABLE_RECIPE) from None
    except PermissionError:
        raise fail(
            f"`{path}` cannot be read: permission denied",
            help="give yourself permission to read it",
            code=Code.UNREADABLE_RECIPE,
        ) from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL character in it.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise fail(f"`{path}` cannot be read: {reason}", code=Code.UNREADABLE_RECIPE) from None
    return _decode(path, content)


@cache
def _standard_input() -> bytes:
    """Standard input can be read once, but a command may ask for its recipe several times."""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _decode(path: Path, content: bytes) -> Source:
    if len(content) > MAX_BYTES:
        raise fail(
            f"`{path}` is larger than 1 MiB", help="a recipe is a short text: is this the model?", code=Code.TOO_LARGE
        )
    for start, name in _OTHER_ENCODINGS.items():
        if content.startswith(start):
            raise fail(f"`{path}` is not UTF-8 text but {name}", help="save it as UTF-8", code=Code.UNREADABLE_RECIPE)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, content, error) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    source = Source(path.as_posix() if is_shipped(path) else str(path), text)
    nul = text.find("\0")
    if nul >= 0:
        line, column = source.position(nul)
        message = f"`{path}` is not a text file: NUL character in line {line}, column {column}"
        raise fail(message, help="a recipe is a short text: is this the model?", code=Code.UNREADABLE_RECIPE)
    return source


def _not_utf8(path: Path, content: bytes, error: UnicodeDecodeError) -> CompileError:
    # With a byte order mark the codec counts from behind it.
    offset = error.start + len(content) - len(error.object)
    line = content.count(b"\n", 0, offset) + 1
    message = f"`{path}` is not UTF-8 text: byte 0x{content[offset]:02X} at offset {offset}, line {line}"
    return fail(message, help="save it as UTF-8", code=Code.UNREADABLE_RECIPE)


def _similar_file(path: Path) -> str:
    if path.parent == Path() and f"{SHIPPED}{path.name}" in ready_recipes():
        return f"a recipe with this name comes with vggc: `{SHIPPED}{path.name}`"
    try:
        close = nearest(path.name, (each.name for each in path.parent.iterdir() if each.is_file()))
    except OSError:
        return f"there is no folder `{path.parent}`"
    return f"a similar file exists: `{path.with_name(close)}`" if close else ""


def _recipes_in(folder: Path) -> str:
    recipes = sorted(folder.glob("*.opt"))
    return f"give one of its recipes, such as `{recipes[0]}`" if recipes else "give the path of a recipe, `NAME.opt`"
