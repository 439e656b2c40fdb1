"""The recipes that come with vggc, which are named `vggc:NAME.opt` on the command line, in Python and in `use`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from vggc.diagnostics import Code, fail, spelling_help

SHIPPED = "vggc:"
"""What the name of a recipe that comes with vggc begins with."""

RULES = "rules/"
"""The folder of the recipes that only declare rules, for `use`."""


def shipped_recipes() -> list[str]:
    """The names of all recipes that come with vggc: `vggc:prune.opt`, `vggc:rules/pad.opt`."""
    folder = _folder()
    return sorted(f"{SHIPPED}{each.relative_to(folder).as_posix()}" for each in folder.rglob("*.opt"))


def ready_recipes() -> list[str]:
    """The names of those that compile a model, without the ones of the rule library."""
    return [each for each in shipped_recipes() if not each.startswith(SHIPPED + RULES)]


def is_shipped(path: Path) -> bool:
    """Whether a path is the name of a recipe that comes with vggc, or has the form of one."""
    return path.as_posix().startswith(SHIPPED)


def recipe_file(path: Path) -> Path:
    """The file of a recipe: the path itself, or where a recipe that comes with vggc is installed.

    Raises CompileError when no recipe of this name comes with vggc.
    """
    if not is_shipped(path):
        return path
    name = path.as_posix()
    if name in shipped_recipes():
        return _folder() / name.removeprefix(SHIPPED)
    # A name without its folder or its suffix is meant more often than another one with similar letters.
    same = [each for each in shipped_recipes() if recipe_stem(Path(each)) == recipe_stem(path)]
    help = f"write `{same[0]}`" if same else spelling_help(name, shipped_recipes(), "its recipes")
    raise fail(f"no recipe `{name}` comes with vggc", help=help, code=Code.UNREADABLE_RECIPE)


def recipe_stem(path: Path) -> str:
    """The name of a recipe for folders and files that are made for it: `prune` for `vggc:prune.opt`."""
    return path.stem.removeprefix(SHIPPED)


def _folder() -> Path:
    return Path(str(files("vggc.recipes")))
