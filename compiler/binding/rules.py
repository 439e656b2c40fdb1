"""Bind `rule` blocks: each becomes a pass with the name of the rule."""

from __future__ import annotations

from vggc.binding.scope import Declaration, Scope, UnknownValue
from vggc.diagnostics import Diagnostics
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.pattern.rule import Rule
from vggc.pattern.rule_binding import bind_rule
from vggc.rewrite import Pass, Predicate, rules_pass


def declare_rule(statement: syntax.RuleStatement, scope: Scope, diagnostics: Diagnostics) -> None:
    """Declare a rule as a step. Its guards can call the predicates in scope.

    Errors in it go to `diagnostics`; its name is declared all the same.
    """
    name = statement.name
    declaration = Declaration(name.name, "rule", UnknownValue(), name.span, name.span.source.path)
    with diagnostics.collect():
        scope.add(declaration, name.span)
    predicates = {
        each.name: each.meaning.as_function() for each in scope.visible() if isinstance(each.meaning, Predicate)
    }
    with diagnostics.collect():
        rule = bind_rule(statement, diagnostics, predicates)
        declaration.meaning = rules_pass([rule], doc=f"A rule of {name.span.source.path}.")


def declared_rules(scope: Scope, source: Source) -> tuple[Rule, ...]:
    """The rules that the recipe `source` declares itself, used or not."""
    own = (each for each in scope.names.values() if each.span is not None and each.span.source is source)
    passes = (each.meaning for each in own if each.kind == "rule" and isinstance(each.meaning, Pass))
    return tuple(rule for each in passes for rule in each.rules)
