"""Check a rule without a model: its pattern, its terms and its replacement.

`vggc.pattern.operator_checks` checks its operators, since these depend on the model's opset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vggc.diagnostics import Code, Diagnostic, Diagnostics, nearest, spelling_help
from vggc.diagnostics.source import Span
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import RuleStatement, Word
from vggc.pattern.compiled import Kind, compile_pattern
from vggc.pattern.functions import Function
from vggc.pattern.functions.arguments import check_arguments
from vggc.pattern.pattern_checks import LABEL_HELP, RESERVED, WHAT, check_pattern


def check_rule(rule: RuleStatement, functions: Mapping[str, Function]) -> list[Diagnostic]:
    """All errors of a rule except those of its operators, and its warnings."""
    return check_pattern(rule.roots) or _Terms(rule, functions).check()


def constructs(results: Sequence[syntax.Result]) -> Iterator[syntax.Construct]:
    """Every new node of a replacement, each after those it reads."""
    for result in results:
        if isinstance(result, syntax.Construct):
            yield from constructs([each for each in result.inputs if isinstance(each, syntax.Construct)])
            yield result


class _Terms:
    """Checks the guard, the lets and the replacement of a rule whose pattern is valid."""

    def __init__(self, rule: RuleStatement, functions: Mapping[str, Function]) -> None:
        self._rule = rule
        self._functions = functions
        self._kinds: dict[str, Kind] = dict(compile_pattern(rule.roots).kinds)
        self._lets: dict[str, Span] = {}
        self._later: dict[str, Span] = {}
        self._made: dict[str, Span] = {}
        self._used: set[str] = set()
        self._found = Diagnostics()

    def check(self) -> list[Diagnostic]:
        rule = self._rule
        self._later = {each.name.name: each.name.span for each in rule.lets}
        if rule.guard is not None:
            self._term(rule.guard, guard=True)
        for let in rule.lets:
            self._term(let.value)
            self._declare(let)
        labels = {each.label.name: each.label.span for each in constructs(rule.results) if each.label is not None}
        self._later = labels
        for result in rule.results:
            self._result(result)
        for name, span in self._lets.items():
            if name not in self._used and not self._found.errors:
                self._found.warning(f"`{name}` is never used", span, help="remove the `let`", code=Code.RULE_UNUSED)
        return self._found.messages

    def _declare(self, let: syntax.Let) -> None:
        name = let.name.name
        taken = ""
        if name in self._lets:
            taken = "declared twice"
        elif name in self._kinds:
            taken = f"already {WHAT[self._kinds[name]]} of the pattern"
        elif name in RESERVED:
            taken = "the opset of the model"
        if taken:
            self._found.error(f"`{name}` is {taken}", let.name.span, help="choose another name", code=Code.RULE_TWICE)
        self._lets.setdefault(name, let.name.span)
        self._later.pop(name, None)

    # --- replacements -------------------------------------------------------------------------------------

    def _result(self, result: syntax.Result) -> None:
        if not isinstance(result, syntax.Construct):
            if isinstance(result, Word) and self._kinds.get(result.name) == "values":
                help = f"write one of them: `{result.name}[0]`"
                self._found.error(
                    f"`{result.name}` stands for several values", result.span, help=help, code=Code.RULE_TYPES
                )
            self._term(result)
            return
        for each in result.inputs:
            match each:
                case syntax.Construct():
                    self._result(each)
                case syntax.Rest():
                    self._rest(each)
                case syntax.OmittedInput():
                    continue
                case Word() if self._kinds.get(each.name) == "values":
                    help = f"write `{each.name}...`"
                    self._found.error(
                        f"`{each.name}` stands for several values", each.span, help=help, code=Code.RULE_TYPES
                    )
                case _:
                    self._term(each)
        self._attributes(result)
        if result.like is not None:
            self._like(result.like)
        if result.label is not None:
            self._label(result.label)

    def _attributes(self, construct: syntax.Construct) -> None:
        given: set[str] = set()
        for each in construct.attributes:
            assert each.name is not None
            if each.name.name in given:
                self._found.error(
                    f"attribute `{each.name.name}` is given twice", each.span, help="give it once", code=Code.RULE_TWICE
                )
            given.add(each.name.name)
            self._term(each.value)

    def _label(self, label: Word) -> None:
        name = label.name
        if name in self._kinds or name in self._lets:
            what = WHAT[self._kinds[name]] + " of the pattern" if name in self._kinds else "a `let`"
            self._found.error(
                f"`{name}` is already {what}", label.span, help="choose another label", code=Code.RULE_TWICE
            )
        elif name in self._made:
            self._found.error(
                f"two new nodes are labelled `{name}`",
                label.span,
                help="give each node its own label",
                code=Code.RULE_TWICE,
            )
        self._made[name] = label.span
        self._later.pop(name, None)

    def _like(self, like: Word) -> None:
        labels = [name for name, kind in self._kinds.items() if kind == "node"]
        if like.name in labels:
            return
        if like.name in self._kinds:
            help = f"label the node in the pattern: `{like.name}: Op(...)`"
            message = f"`{like.name}` is {WHAT[self._kinds[like.name]]}, not a node"
        else:
            help = spelling_help(like.name, labels, "labels of the pattern")
            help = help or "label a node in the pattern: `name: Op(...)`"
            message = f"no node of the pattern is labelled `{like.name}`"
        self._found.error(message, like.span, help=help, code=Code.RULE_NAME)

    def _rest(self, rest: syntax.Rest) -> None:
        kind = self._kinds.get(rest.name)
        if kind == "values":
            return
        if kind is not None:
            help = f"write `{rest.name}` without the dots"
            self._found.error(
                f"`{rest.name}` is {WHAT[kind]}, not a list of inputs", rest.span, help=help, code=Code.RULE_NAME
            )
            return
        names = [name for name, each in self._kinds.items() if each == "values"]
        help = (
            spelling_help(rest.name, names, "remaining inputs of the pattern")
            or "the pattern does not capture `rest...`"
        )
        self._found.error(f"the pattern does not capture `{rest.name}...`", rest.span, help=help, code=Code.RULE_NAME)

    # --- terms --------------------------------------------------------------------------------------------

    def _term(self, term: syntax.Term, *, guard: bool = False) -> None:
        """Check a term. A `guard` cannot use any `let`."""
        match term:
            case Word():
                self._word(term, guard)
            case syntax.OutputOf():
                self._output(term, guard)
            case syntax.ListTerm():
                for each in term.items:
                    self._term(each, guard=guard)
            case syntax.CallTerm():
                self._call(term, guard)
            case syntax.ElementTerm():
                self._term(term.value, guard=guard)
                self._term(term.index, guard=guard)
            case syntax.NegativeTerm():
                self._number(term.value, guard)
            case syntax.BinaryTerm():
                self._number(term.left, guard)
                self._number(term.right, guard)
            case syntax.DefaultTerm():
                for each in term.choices:
                    self._term(each, guard=guard)
            case syntax.ComparisonTerm():
                self._term(term.left, guard=guard)
                self._term(term.right, guard=guard)
            case syntax.LogicalTerm():
                for each in term.operands:
                    self._term(each, guard=guard)

    def _number(self, term: syntax.Term, guard: bool) -> None:
        self._term(term, guard=guard)
        kind = self._kinds.get(term.name) if isinstance(term, Word) else None
        if isinstance(term, Word) and (kind in ("node", "values") or (kind is None and term.name in self._made)):
            what = "a list of values" if kind == "values" else "the output of a node"
            help = "arithmetic works on constants; to compute in the model, write an operator: `Add(a, b)`"
            self._found.error(
                f"`{term.name}` is {what}, which has no numbers at compile time",
                term.span,
                help=help,
                code=Code.RULE_TYPES,
            )

    def _word(self, word: Word, guard: bool) -> None:
        name = word.name
        if name in self._kinds or name in RESERVED or (name in self._made and not guard):
            return
        if name in self._lets:
            self._used.add(name)
            return
        if name in self._later and not guard:
            self._found.error(
                f"`{name}` is used before it is declared",
                word.span,
                help="move its declaration up",
                code=Code.RULE_NAME,
            )
        elif name in self._later:
            help = "conditions are evaluated before any `let`: write the expression itself"
            self._found.error(
                f"`{name}` is a `let`, which a condition cannot use", word.span, help=help, code=Code.RULE_NAME
            )
        else:
            known = [*self._kinds, *(() if guard else (*self._lets, *self._made))]
            close = nearest(name, known)
            help = f"a similar name exists: `{close}`" if close else "capture it in the pattern"
            if name in self._functions:
                help = f"call a function with parentheses: `{name}(...)`"
            self._found.error(f"the pattern does not capture `{name}`", word.span, help=help, code=Code.RULE_NAME)

    def _output(self, output: syntax.OutputOf, guard: bool) -> None:
        name = output.label.name
        if self._kinds.get(name) == "node" or (name in self._made and not guard):
            return
        if name in self._later and not guard:
            self._found.error(
                f"`{name}` is used before it is declared", output.span, help="move its node up", code=Code.RULE_NAME
            )
            return
        if name in self._kinds:
            help = f"label the node that computes it: `{name}: Op(...)`"
            self._found.error(
                f"`{name}` is {WHAT[self._kinds[name]]}, which has no outputs",
                output.span,
                help=help,
                code=Code.RULE_NAME,
            )
            return
        labels = [each for each, kind in self._kinds.items() if kind == "node"] + list(self._made)
        help = spelling_help(name, labels, "labels") or LABEL_HELP
        self._found.error(f"no node is labelled `{name}`", output.label.span, help=help, code=Code.RULE_NAME)

    def _call(self, call: syntax.CallTerm, guard: bool) -> None:
        for each in call.arguments:
            self._term(each.value, guard=guard)
        function = self._functions.get(call.name)
        if function is None:
            close = nearest(call.name, self._functions)
            help = "docs/rules.md lists the functions of rules; bring in a predicate of your own with `use`"
            help = f"a similar name exists: `{close}`" if close else help
            self._found.error(f"there is no function `{call.name}`", call.name_span, help=help, code=Code.RULE_FUNCTION)
            return
        wrong = check_arguments(call, function)
        self._found.extend(wrong)
        for each in [] if wrong else call.arguments:
            parameter = function.parameter(call, each)
            if str(parameter.annotation) == "Matched" and not self._is_label(each.value):
                help = "write a label before its node in the pattern: `a: Op(x)`"
                self._found.error(f"`{call.name}` takes a label", each.value.span, help=help, code=Code.RULE_FUNCTION)

    def _is_label(self, term: syntax.Term) -> bool:
        return isinstance(term, Word) and (self._kinds.get(term.name) == "node" or term.name in self._made)
