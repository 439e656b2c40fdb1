"""The error for a recipe with syntax errors, which knows the statements that are right."""

from __future__ import annotations

from vggc.diagnostics import CompileError, Diagnostic
from vggc.diagnostics.source import Span
from vggc.grammar import syntax


class BrokenRecipe(CompileError):
    """The syntax errors of a recipe.

    recipe   the statements that are right, without those inside of a `define` that is wrong
    broken   the texts of the statements that are wrong
    """

    def __init__(
        self, *diagnostics: Diagnostic, recipe: syntax.Recipe | None = None, broken: tuple[Span, ...] = ()
    ) -> None:
        super().__init__(*diagnostics)
        self.recipe = recipe
        self.broken = broken
