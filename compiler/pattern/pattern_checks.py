"""Check a pattern without a model: its names, and whether its roots are connected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vggc.diagnostics import Code, Diagnostic, Diagnostics, spelling_help
from vggc.diagnostics.source import Span
from vggc.grammar import pattern_syntax as syntax
from vggc.pattern.compiled import Kind, compile_pattern

MOST_NODES = 100
"""How many nodes a pattern may have."""

RESERVED = ("opset",)
"""Names that have a meaning of their own in conditions and terms."""

WHAT: Mapping[Kind, str] = {
    "value": "an input",
    "values": "the remaining inputs",
    "attribute": "an attribute",
    "node": "a label",
}

LABEL_HELP = "write a label before its node: `a: Op(x)`"


def check_pattern(roots: Sequence[syntax.Root]) -> list[Diagnostic]:
    """The errors in the names and roots of a pattern; an empty list when it can be compiled."""
    return _PatternNames(roots).check()


def pattern_nodes(roots: Sequence[syntax.Root]) -> Iterator[syntax.NodePattern]:
    """Every node of a pattern. A stack is used, since a wrong pattern may be too large for recursion."""
    waiting: list[object] = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        if isinstance(node, syntax.NodePattern):
            yield node
            waiting.extend(reversed(node.inputs))


class _PatternNames:
    """The names of a pattern: each stands for one kind of thing."""

    def __init__(self, roots: Sequence[syntax.Root]) -> None:
        self._roots = roots
        self._found = Diagnostics()
        self._kinds: dict[str, tuple[Kind, Span]] = {}
        self._labels = {each.label.name for each in pattern_nodes(roots) if each.label is not None}

    def check(self) -> list[Diagnostic]:
        nodes = list(pattern_nodes(self._roots))
        if len(nodes) > MOST_NODES:
            help = f"split the rule: a pattern can have at most {MOST_NODES} nodes"
            self._found.error(
                f"this pattern has {len(nodes)} nodes", self._roots[0].span, help=help, code=Code.RULE_PATTERN
            )
            return self._found.messages
        for node in nodes:
            self._node(node)
        for root in self._roots:
            if isinstance(root, syntax.OutputOf):
                self._output(root)
        if not self._found.messages:
            self._check_roots()
        return self._found.messages

    def _node(self, node: syntax.NodePattern) -> None:
        if node.label is not None:
            if node.label.name in self._kinds and self._kinds[node.label.name][0] == "node":
                note = ("note", f"the first one stands at {self._kinds[node.label.name][1].place}")
                self._found.error(
                    f"two nodes are labelled `{node.label.name}`",
                    node.label.span,
                    facts=(note,),
                    help="give each node its own label",
                    code=Code.RULE_TWICE,
                )
            self._name(node.label.name, "node", node.label.span)
        for each in node.inputs:
            match each:
                case syntax.Capture():
                    self._name(each.name, "value", each.span)
                case syntax.Rest() if each.name:
                    self._name(each.name, "values", each.span)
                case syntax.OutputOf():
                    self._output(each)
        given: dict[str, Span] = {}
        for attribute in node.attributes:
            name = attribute.name.name
            if name in given:
                self._found.error(
                    f"attribute `{name}` is given twice", attribute.span, help="give it once", code=Code.RULE_TWICE
                )
            given[name] = attribute.span
            if isinstance(attribute.value, syntax.Capture):
                self._name(attribute.value.name, "attribute", attribute.value.span)

    def _name(self, name: str, kind: Kind, span: Span) -> None:
        if name in RESERVED:
            help = "choose another name"
            self._found.error(
                f"`{name}` is the opset of the model, which cannot be captured", span, help=help, code=Code.RULE_NAME
            )
            return
        known, first = self._kinds.setdefault(name, (kind, span))
        if known == kind:
            return
        note = ("note", f"it is {WHAT[known]} at {first.place}")
        help = "choose another name"
        if "node" in (known, kind) and "value" in (known, kind):
            help = f"write an output of the node as `{name}.0`"
        message = f"`{name}` is {WHAT[kind]} here, and {WHAT[known]} elsewhere"
        self._found.error(message, span, facts=(note,), help=help, code=Code.RULE_PATTERN)

    def _output(self, output: syntax.OutputOf) -> None:
        name = output.label.name
        if name not in self._labels:
            help = spelling_help(name, self._labels, "labels of the pattern") or LABEL_HELP
            self._found.error(
                f"no node of the pattern is labelled `{name}`", output.label.span, help=help, code=Code.RULE_NAME
            )

    def _check_roots(self) -> None:
        first = self._roots[0]
        if isinstance(first, syntax.OutputOf):
            help = "start with the node that has the label"
            self._found.error("the first pattern must be a node", first.span, help=help, code=Code.RULE_PATTERN)
            return
        seen: dict[tuple[str, int], Span] = {}
        for root in self._roots:
            label = root.label.name if root.label is not None else ""
            key = (label, root.index if isinstance(root, syntax.OutputOf) else root.output)
            if label and key in seen:
                self._found.error(
                    f"`{label}.{key[1]}` would be replaced twice", root.span, help="write it once", code=Code.RULE_TWICE
                )
            seen[key] = root.span
        compiled = compile_pattern(self._roots)
        for root, climb in zip(self._roots[1:], compiled.climbs, strict=True):
            if climb is None and isinstance(root, syntax.NodePattern):
                help = "let both capture the same value, or use an output of a labelled node"
                self._found.error(
                    "this pattern shares no value with the ones before it", root.span, help=help, code=Code.RULE_PATTERN
                )
