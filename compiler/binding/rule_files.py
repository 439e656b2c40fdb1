"""Bind only the rules of a file: those that `vggc check --rules` proves."""

from __future__ import annotations

from pathlib import Path

from vggc.binding.registry import shipped
from vggc.binding.rules import declare_rule, declared_rules
from vggc.binding.scope import Scope
from vggc.binding.uses import Uses, declared_names
from vggc.diagnostics import Code, Diagnostic, Diagnostics, fail
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.grammar.shipped_recipes import recipe_file
from vggc.pattern.rule import Rule
from vggc.rewrite import check_rules


def bind_rule_file(recipe: syntax.Recipe, *, python: bool = True) -> tuple[list[Rule], list[Diagnostic]]:
    """The rules that a file declares, and the warnings about them; its other statements are ignored.

    Without `python`, a recipe that brings in a Python file is refused.

    Raises CompileError with everything wrong with its rules and its uses, operators included.
    """
    diagnostics = Diagnostics()
    path = Path(recipe.source.path)
    scope = Scope(shipped(), path.parent, later=declared_names(recipe))
    uses = Uses(diagnostics, [recipe_file(path).resolve()], python)
    for statement in recipe.statements:
        with diagnostics.collect():
            if isinstance(statement, syntax.UseStatement):
                uses.bind_use(statement, scope)
            elif isinstance(statement, syntax.RuleStatement):
                declare_rule(statement, scope, diagnostics)
    diagnostics.raise_errors()
    rules = list(declared_rules(scope, recipe.source))
    if not rules:
        raise fail(
            "there is no rule in this file",
            Span(recipe.source, 0, 0),
            help="write `rule NAME { ... => ... }`",
            code=Code.EMPTY_RECIPE,
        )
    diagnostics.extend(check_rules(rules))
    diagnostics.raise_errors()
    return rules, diagnostics.messages
