"""`--set samples=FOLDER`: the recipe gets the whole call of `images`, with a preparation guessed for the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vggc.authoring.data_source import DataSource
from vggc.authoring.preparation import guessed_images
from vggc.binding.loader_values import LOADER, is_path
from vggc.grammar import syntax
from vggc.graph import Graph


def prepared_folders(
    recipe: syntax.Recipe, overrides: Mapping[str, str], model: Path
) -> tuple[dict[str, str], dict[str, DataSource]]:
    """The overrides with a full call of `images` for each folder, and those calls by the names of their parameters.

    A folder is relative to the recipe, as all its paths are. Raises CompileError when the model does not take images.
    """
    given = dict(overrides)
    sources: dict[str, DataSource] = {}
    base = Path(recipe.source.path).parent
    for statement in recipe.statements:
        if not isinstance(statement, syntax.ParamStatement) or statement.type is None:
            continue
        name, text = statement.name.name, given.get(statement.name.name)
        if statement.type.name != LOADER or text is None or not is_path(text) or not (base / text).is_dir():
            continue
        graph = Graph.load(model)
        graph.infer_shapes(check=True)
        sources[name] = DataSource("images", text, guessed_images(graph, base / text))
        given[name] = sources[name].call
    return given, sources
