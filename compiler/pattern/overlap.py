"""Find rules that conflict: a rule that produces what it matches, or one that never applies because of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

from vggc.diagnostics import Code, Diagnostic
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar import syntax as recipe
from vggc.grammar.syntax import Number, Word
from vggc.pattern.checks import constructs
from vggc.pattern.equality import same_attribute
from vggc.pattern.operators import NEWEST, OperatorSets, is_commutative
from vggc.pattern.rule import Rule
from vggc.pattern.terms import UNKNOWN, Tree, TreeLeaf, default_of, made_tree, tree_of

_MOST_ORDERS = 3
"""Inputs of a commutative operator up to which every order is tried."""

_SETS = OperatorSets.at(NEWEST)
Bindings = dict[str, "Tree | TreeLeaf"]


def check_recreates(rule: recipe.RuleStatement) -> list[Diagnostic]:
    """The error for a rule whose replacement it would surely match again."""
    root = rule.roots[0]
    pattern = tree_of(root) if isinstance(root, syntax.NodePattern) and len(rule.roots) == 1 else None
    if pattern is None:
        return []
    labels = {each.label: each for each in pattern.nodes() if each.label}
    computed = _computed(rule)
    for construct in constructs(rule.results):
        made = made_tree(construct, rule, labels)
        for bindings in surely(pattern, made, {}):
            unchanged = all(isinstance(each, TreeLeaf) and each.name == name for name, each in bindings.items())
            certain = all(_is_constant(bindings[name], computed) for name in computed if name in bindings)
            if unchanged or (rule.guard is None and certain):
                help = "write a replacement that the pattern does not match, or restrict the rule with `where`"
                message = f"rule `{rule.name.name}` produces what it matches, so that it would never terminate"
                return [Diagnostic(message, construct.span, help=help, code=Code.RULE_OVERLAP)]
    return []


def check_together(rules: Sequence[Rule]) -> list[Diagnostic]:
    """What is wrong with rules that are applied together: errors for those that never get their turn, and warnings."""
    found: list[Diagnostic] = []
    trees = [_single(each) for each in rules]
    for later in range(len(rules)):
        for earlier in range(later):
            first, second = trees[earlier], trees[later]
            if first is None or second is None or rules[earlier] is rules[later]:
                continue
            if first.operators.isdisjoint(second.operators):
                continue
            message = _conflict(rules[earlier], first, rules[later], second)
            if message is not None:
                found.append(message)
                break
    return found


def _conflict(earlier: Rule, first: Tree, later: Rule, second: Tree) -> Diagnostic | None:
    places = (("note", f"`{earlier.name}` stands at {earlier.place}"),)
    shadowed = next(surely(first, second, {}), None)
    if shadowed is not None and _always_applies(earlier, first, later, second):
        message = f"rule `{later.name}` never applies: `{earlier.name}` before it matches the same nodes"
        help = "put the more specific rule first, or remove one"
        return Diagnostic(message, later.name_span, facts=places, help=help, code=Code.RULE_OVERLAP)
    if shadowed is not None or next(surely(second, first, {}), None) is not None:
        return None
    assert earlier.body is not None and later.body is not None
    guarded = earlier.body.guard is not None and later.body.guard is not None
    if first.size == second.size and not guarded and maybe(first, second):
        message = f"rules `{earlier.name}` and `{later.name}` can match the same nodes, and neither is more specific"
        help = "the first one is tried first; restrict one of them with `where` if this is not intended"
        return Diagnostic(message, later.name_span, facts=places, help=help, severity="warning", code=Code.RULE_OVERLAP)
    return None


def _single(rule: Rule) -> Tree | None:
    root = rule.pattern.anchor.syntax
    return tree_of(root) if rule.body is not None and len(rule.pattern.roots) == 1 else None


def _always_applies(earlier: Rule, first: Tree, later: Rule, second: Tree) -> bool:
    """Whether nothing but the pattern decides about the first rule, wherever the second one matches."""
    if earlier.body is None or earlier.body.guard is not None or _needs_numbers(earlier):
        return False
    if earlier.opsets[0] > later.opsets[0] or earlier.opsets[1] < later.opsets[1]:
        return False
    # The first rule must not ask for single readers where the second one, keeping the node, does not.
    return not later.kept_labels() or first.size == 1


def _needs_numbers(rule: Rule) -> bool:
    """Whether a rule computes anything of what it captures."""
    assert rule.body is not None
    terms = [each.value for each in rule.body.lets]
    for result in rule.body.results:
        if not isinstance(result, syntax.Construct | Word | syntax.OutputOf):
            return True
    for construct in constructs(rule.body.results):
        plain = (syntax.Construct, syntax.Rest, syntax.OmittedInput, Word, syntax.OutputOf, Number)
        if any(not isinstance(each, plain) for each in construct.inputs):
            return True
        terms += [each.value for each in construct.attributes if not isinstance(each.value, Number)]
    return bool(terms)


def _computed(rule: recipe.RuleStatement) -> set[str]:
    """The captures with whose numbers a rule computes: they are constants wherever it applies."""
    lets = {each.name.name: each.value for each in rule.lets}
    found: set[str] = set()

    def visit(term: object, inside: bool) -> None:
        match term:
            case Word() if term.name in lets:
                visit(lets[term.name], inside)
            case Word() if inside:
                found.add(term.name)
            case syntax.BinaryTerm():
                visit(term.left, True)
                visit(term.right, True)
            case syntax.NegativeTerm():
                visit(term.value, True)
            case syntax.DefaultTerm():
                for each in term.choices:
                    visit(each, inside)
            case syntax.CallTerm():
                for argument in term.arguments:
                    visit(argument.value, True)

    for construct in constructs(rule.results):
        for each in construct.inputs:
            visit(each, False)
    return found


def _is_constant(bound: Tree | TreeLeaf, computed: set[str]) -> bool:
    return isinstance(bound, TreeLeaf) and (bound.constant or bound.name in computed)


# --- holding a pattern against another tree -----------------------------------------------------------------


def surely(pattern: Tree, data: Tree, bindings: Bindings) -> Iterator[Bindings]:
    """The ways in which a pattern matches every graph that looks like `data`."""
    if not data.operators <= pattern.operators or pattern.output != data.output:
        return
    if not all(_surely_attribute(name, value, data) for name, value in pattern.attributes.items()):
        return
    if data.rest and not pattern.rest:
        return
    if not pattern.rest and len(data.inputs) > len(pattern.inputs):
        return
    commutative = all(is_commutative(each, _SETS) for each in data.operators) and not data.rest
    for order in _orders(len(data.inputs), commutative):
        inputs = [data.inputs[at] for at in order]
        yield from _surely_inputs(pattern, inputs, bindings)


def _surely_inputs(pattern: Tree, inputs: Sequence[Tree | TreeLeaf], bindings: Bindings) -> Iterator[Bindings]:
    found = [dict(bindings)]
    for at, wanted in enumerate(pattern.inputs):
        given = inputs[at] if at < len(inputs) else None
        found = [further for each in found for further in _surely_input(wanted, given, each)]
    yield from found


def _surely_input(wanted: Tree | TreeLeaf, given: Tree | TreeLeaf | None, bindings: Bindings) -> Iterator[Bindings]:
    if given is None or (isinstance(given, TreeLeaf) and given.optional):
        if isinstance(wanted, TreeLeaf) and wanted.optional and (not wanted.name or wanted.name not in bindings):
            yield {**bindings, wanted.name: TreeLeaf(optional=True)} if wanted.name else bindings
        return
    if isinstance(wanted, Tree):
        if isinstance(given, Tree):
            yield from surely(wanted, given, bindings)
        return
    if wanted.constant:
        if isinstance(given, TreeLeaf) and given.number is not None and given.number == wanted.number:
            yield bindings
        return
    if not wanted.name:
        yield bindings
    elif wanted.name not in bindings:
        yield {**bindings, wanted.name: given}
    elif isinstance(given, TreeLeaf) and given.name and bindings[wanted.name] == given:
        yield bindings


def _surely_attribute(name: str, wanted: Any, data: Tree) -> bool:
    if name in data.attributes:
        given = data.attributes[name]
    elif data.made and not data.like:
        given = default_of(data.operators, name)
    else:
        # There is some value, if the operator has a default.
        given = UNKNOWN if default_of(data.operators, name) is not None else None
    if wanted is UNKNOWN:
        return given is not None
    return given is not None and given is not UNKNOWN and same_attribute(given, wanted)


def maybe(one: Tree, other: Tree) -> bool:
    """Whether some graph matches both."""
    shared = one.operators & other.operators
    if not shared or one.output != other.output:
        return False
    for name in one.attributes.keys() & other.attributes.keys():
        first, second = one.attributes[name], other.attributes[name]
        if first is not UNKNOWN and second is not UNKNOWN and not same_attribute(first, second):
            return False
    if one.rest or other.rest:
        return True
    least = [sum(not (isinstance(each, TreeLeaf) and each.optional) for each in tree.inputs) for tree in (one, other)]
    if least[0] > len(other.inputs) or least[1] > len(one.inputs):
        return False
    commutative = any(is_commutative(each, _SETS) for each in shared)
    return any(
        all(_maybe_input(first, other.inputs[at]) for first, at in zip(one.inputs, order, strict=False))
        for order in _orders(len(other.inputs), commutative)
    )


def _maybe_input(one: Tree | TreeLeaf, other: Tree | TreeLeaf) -> bool:
    if isinstance(one, Tree) and isinstance(other, Tree):
        return maybe(one, other)
    if isinstance(one, Tree) or isinstance(other, Tree):
        leaf = other if isinstance(one, Tree) else one
        return isinstance(leaf, TreeLeaf) and not leaf.constant
    return one.number is None or other.number is None or one.number == other.number


def _orders(count: int, commutative: bool) -> Iterator[tuple[int, ...]]:
    if commutative and 1 < count <= _MOST_ORDERS:
        yield from permutations(range(count))
    else:
        yield tuple(range(count))
