"""The files beside a recipe that say more about it: the model, the last report, the recipes that it uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError
from vggc.grammar import syntax
from vggc.grammar.recipe_file import read_recipe
from vggc.grammar.shipped_recipes import SHIPPED, recipe_file
from vggc.lsp.recipe_text import RecipeText


def model_of(recipe: Path, named: Path | None) -> Path | None:
    """The model that the editor's settings name, or the only ONNX file beside the recipe."""
    if named is not None:
        return named if named.is_absolute() else recipe.parent / named
    models = sorted(recipe.parent.glob("*.onnx"))
    return models[0] if len(models) == 1 else None


def node_names(model: Path | None) -> list[str]:
    """The names of the nodes of a model, whose weights are not read; none for a model that cannot be read."""
    if model is None or not model.is_file():
        return []
    return list(_node_names(model, model.stat().st_mtime_ns))


@lru_cache(maxsize=4)
def _node_names(model: Path, changed: int) -> tuple[str, ...]:
    from vggc.graph.wire import read_skeleton

    try:
        return tuple(node.name for node in read_skeleton(model).model.graph.node if node.name)
    except CompileError:
        return ()


def used_recipes(recipe: RecipeText) -> Iterator[RecipeText]:
    """The recipes that a recipe uses, and those that they use; files that cannot be read are left out."""
    seen, waiting = {recipe.path}, [recipe]
    while waiting:
        each = waiting.pop(0)
        for path in used_files(each):
            if path.suffix == ".opt" and path not in seen:
                seen.add(path)
                used = _read(path, path.stat().st_mtime_ns)
                if used is not None:
                    yield used
                    waiting.append(used)


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> RecipeText | None:
    """A recipe that is used, which knows its statements until the file changes."""
    try:
        return RecipeText(path, read_recipe(path).text)
    except CompileError:
        return None


def used_files(recipe: RecipeText) -> Iterator[Path]:
    """The files of the `use` statements that are there."""
    for each in recipe.statements:
        if isinstance(each, syntax.UseStatement):
            path = used_file(recipe, each.path.value)
            if path is not None:
                yield path


def used_file(recipe: RecipeText, named: str) -> Path | None:
    """The file that a `use` names, beside the recipe or of those that come with vggc; None when it is not there."""
    try:
        path = recipe_file(Path(named)) if named.startswith(SHIPPED) else recipe.path.parent / named
    except CompileError:
        return None
    return path if path.is_file() else None


def last_report(recipe: Path, folders: tuple[Path, ...]) -> dict[str, Any] | None:
    """The newest report of a compile of this recipe below `build` in one of the folders; None when there is none."""
    reports = [
        report
        for folder in dict.fromkeys((recipe.parent, *folders))
        for report in folder.glob(f"build/*{recipe.stem}*/report.json")
    ]
    for report in sorted(reports, key=lambda each: each.stat().st_mtime_ns, reverse=True):
        try:
            content = json.loads(report.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            # A compile may be writing it.
            continue
        if isinstance(content, dict) and Path(str(content.get("recipe", {}).get("path", ""))).name == recipe.name:
            return content
    return None
