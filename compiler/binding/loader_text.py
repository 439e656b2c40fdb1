"""A data set given outside a recipe, in the language of recipes: `npz("test.npz", label="y")`."""

from __future__ import annotations

from pathlib import Path

from vggc.binding.data import bind_data
from vggc.binding.registry import shipped
from vggc.binding.scope import Scope
from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.diagnostics.source import Source
from vggc.grammar import syntax


def bind_loader(text: str, origin: str) -> Dataset:
    """The samples that a call of a loader names; paths are relative to the current folder.

    `origin` says in messages where the text was written. Raises CompileError when the text is not a call of a loader,
    or gives no samples.
    """
    from vggc.grammar.parser import parse

    recipe = parse(Source(origin, f"data samples = {text}\n"))
    (statement, *more) = recipe.statements
    if more or not isinstance(statement, syntax.DataStatement):
        raise fail(f"{origin} takes one data set", help=f"for example {origin} 'npz(\"test.npz\")'", code=Code.LOADER)
    bound = bind_data(statement, Scope(shipped(), Path(), later={}))
    assert bound is not None, "nothing stands before the statement that its options could depend on"
    return bound.load()
