"""Check the operators of a rule against an opset: their names, inputs, outputs and attributes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from vggc.diagnostics import Code, Diagnostic, Diagnostics, nearest, spelling_help
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.source import Span
from vggc.grammar import pattern_syntax as syntax
from vggc.grammar.syntax import Bool, Number, String, Word
from vggc.graph.domains import domain_of
from vggc.pattern.checks import constructs
from vggc.pattern.compiled import Pattern
from vggc.pattern.operators import (
    NEWEST,
    Operator,
    OperatorSets,
    holds_type,
    known_domains,
    operator_names,
    spell,
    versions,
)
from vggc.pattern.pattern_checks import pattern_nodes
from vggc.pattern.rule import Rule

_A = onnx.defs.OpSchema.AttrType
_KINDS = {
    _A.INT: "a whole number",
    _A.FLOAT: "a number",
    _A.STRING: "a text",
    _A.INTS: "a list of whole numbers",
    _A.FLOATS: "a list of numbers",
    _A.STRINGS: "a list of texts",
}


def check_operators(rule: Rule, sets: OperatorSets | None = None) -> list[Diagnostic]:
    """What is wrong with the operators of a rule for a model's opset; without one, for the newest the rule is for.

    A rule that is not for the model's opset (`where opset >= 17`) is not checked.
    """
    low, high = rule.opsets
    if sets is None:
        sets = OperatorSets.at(min(high, NEWEST))
    if not low <= sets.opset <= high:
        return []
    checks = _Checks(sets)
    for root in rule.pattern.roots:
        if hasattr(root, "syntax"):
            for node in pattern_nodes([root.syntax]):
                checks.pattern(node)
    if rule.body is not None:
        for construct in constructs(rule.body.results):
            checks.construct(construct)
    return checks.found.messages


def check_operator_names(pattern: Pattern) -> list[Diagnostic]:
    """Which operators of a Python rewrite's pattern are in no opset at all; it may be for several opsets."""
    checks = _Checks(OperatorSets.at(NEWEST))
    for node in pattern.nodes():
        for each in node.syntax.operators:
            operator = domain_of(each.domain), each.name
            if operator[0] in known_domains() and not versions(operator):
                checks.unknown(operator, each.span)
    return checks.found.messages


class _Checks:
    def __init__(self, sets: OperatorSets) -> None:
        self._sets = sets
        self.found = Diagnostics()

    def pattern(self, node: syntax.NodePattern) -> None:
        for operator in node.operators:
            schema = self._schema(operator)
            if schema is None:
                continue
            inputs = [each for each in node.inputs if not isinstance(each, syntax.Rest)]
            open_end = len(inputs) < len(node.inputs)
            self._count_inputs(operator, schema, len(inputs), schema.min_input if open_end else len(inputs), node)
            self._output(operator, schema, node.output, node.span)
            for each in node.attributes:
                if self._attribute(operator, schema, each.name):
                    self._literal(operator.name, schema.attributes[each.name.name], each)

    def construct(self, node: syntax.Construct) -> None:
        schema = self._schema(node.operator)
        if schema is None:
            return
        inputs: list[object] = [each for each in node.inputs if not isinstance(each, syntax.Rest)]
        if len(inputs) == len(node.inputs):
            self._count_inputs(node.operator, schema, len(inputs), len(inputs), node)
        elif len(inputs) > schema.max_input:
            self._count_inputs(node.operator, schema, len(inputs), schema.min_input, node)
        for index, each in enumerate(node.inputs):
            if isinstance(each, syntax.OmittedInput) and index < schema.min_input:
                help = "only optional inputs can be left out"
                self.found.error(
                    f"input {index + 1} of `{node.operator.name}` is required",
                    each.span,
                    help=help,
                    code=Code.RULE_OPERATOR,
                )
        self._output(node.operator, schema, node.output, node.span)
        given = {each.name.name for each in node.attributes if each.name is not None}
        for argument in node.attributes:
            if argument.name is not None:
                self._attribute(node.operator, schema, argument.name)
        missing = [name for name, one in schema.attributes.items() if one.required and name not in given]
        if missing and node.like is None:
            listed = ", ".join(f"`{each}`" for each in missing)
            help = f"write `{missing[0]}=...`, or `like` a node that has it"
            self.found.error(
                f"`{node.operator.name}` needs the attribute {listed}",
                node.operator.span,
                help=help,
                code=Code.RULE_ATTRIBUTE,
            )

    # --- operators ----------------------------------------------------------------------------------------

    def _schema(self, written: syntax.Operator) -> onnx.defs.OpSchema | None:
        """The operator of this opset; None when there is none, which is reported, or when its domain is unknown."""
        operator = domain_of(written.domain), written.name
        if operator[0] not in known_domains():
            return None
        schema = self._sets.schema(operator)
        if schema is None:
            self.unknown(operator, written.span)
        return schema

    def unknown(self, operator: Operator, span: Span) -> None:
        """Report that an operator is not in this opset."""
        opset = self._sets.opset
        known = versions(operator)
        if known and known[0] > opset:
            help = f"restrict the rule to newer models: `where opset >= {known[0]}`"
            message = f"`{spell(operator)}` is not in opset {opset}: it was added in opset {known[0]}"
        elif known:
            help = f"restrict the rule to older models: `where opset < {_dropped(operator)}`"
            message = f"`{spell(operator)}` is not in opset {opset}: it was removed in opset {_dropped(operator)}"
        else:
            message = f"ONNX has no operator `{spell(operator)}`"
            close = nearest(operator[1], operator_names(operator[0]))
            help = (
                f"a similar name exists: `{close}`"
                if close
                else "write an operator of another domain with its domain: `com.microsoft.Gelu`"
            )
        self.found.error(message, span, help=help, code=Code.RULE_ATTRIBUTE)

    def _count_inputs(
        self,
        operator: syntax.Operator,
        schema: onnx.defs.OpSchema,
        given: int,
        least: int,
        node: syntax.NodePattern | syntax.Construct,
    ) -> None:
        name = operator.name
        if given > schema.max_input:
            limit = counted(schema.max_input, "input")
            self.found.error(
                f"`{name}` has at most {limit}, not {given}", node.span, help=_usage(schema), code=Code.RULE_OPERATOR
            )
        elif least < schema.min_input:
            limit = counted(schema.min_input, "input")
            self.found.error(
                f"`{name}` has at least {limit}, not {given}", node.span, help=_usage(schema), code=Code.RULE_OPERATOR
            )

    def _output(self, operator: syntax.Operator, schema: onnx.defs.OpSchema, index: int, span: Span) -> None:
        if index >= schema.max_output:
            most = counted(schema.max_output, "output")
            help = "outputs are counted from `.0`"
            self.found.error(
                f"`{operator.name}` has no output `.{index}`: it has {most}", span, help=help, code=Code.RULE_OPERATOR
            )

    # --- attributes ---------------------------------------------------------------------------------------

    def _attribute(self, operator: syntax.Operator, schema: onnx.defs.OpSchema, name: Word) -> bool:
        if name.name in schema.attributes:
            return True
        opset = self._sets.opset
        message = f"`{operator.name}` has no attribute `{name.name}` in opset {opset}"
        since = _attribute_versions((domain_of(operator.domain), operator.name), name.name)
        if since and since[0] > opset:
            help = f"it was added in opset {since[0]}: write `where opset >= {since[0]}`"
        elif since:
            gone = next(each for each in versions((domain_of(operator.domain), operator.name)) if each > since[-1])
            help = f"it was removed in opset {gone}, and may be an input now: write `where opset < {gone}`"
        else:
            help = spelling_help(name.name, schema.attributes, "its attributes") or "it has none"
        self.found.error(message, name.span, help=help, code=Code.RULE_ATTRIBUTE)
        return False

    def _literal(self, op: str, attribute: onnx.defs.OpSchema.Attribute, match: syntax.AttributeMatch) -> None:
        value = match.value
        of_type = holds_type(op, attribute.name)
        wanted = "a text" if of_type else _KINDS.get(attribute.type)
        if wanted is None or isinstance(value, syntax.Capture | syntax.Wildcard):
            return
        given = _kind(value)
        numbers = {("a number", "a whole number"), ("a list of numbers", "a list of whole numbers")}
        if given != wanted and (wanted, given) not in numbers:
            what, help = ("a type", 'write its name: `"float16"`') if of_type else (wanted, f"write {wanted}")
            message = f"attribute `{attribute.name}` of `{op}` is {what}, not {given}"
            self.found.error(message, value.span, help=help, code=Code.RULE_ATTRIBUTE)


def _kind(value: Number | String | Bool | syntax.Literals) -> str:
    match value:
        case String():
            return "a text"
        case Bool():
            return "a whole number"
        case Number():
            return "a whole number" if isinstance(value.value, int) else "a number"
    kinds = {_kind(each) for each in value.items}
    if "a text" in kinds:
        return "a list of texts"
    return "a list of numbers" if "a number" in kinds else "a list of whole numbers"


def _dropped(operator: Operator) -> int:
    """The opset that removed an operator."""
    domain, name = operator
    gone = [
        each.since_version
        for each in onnx.defs.get_all_schemas_with_history()
        if each.name == name and each.domain == domain and each.deprecated
    ]
    return min(gone)


def _attribute_versions(operator: Operator, name: str) -> list[int]:
    """The versions of an operator that have an attribute."""
    domain, op = operator
    found: Sequence[onnx.defs.OpSchema] = onnx.defs.get_all_schemas_with_history()
    return sorted(
        each.since_version for each in found if each.name == op and each.domain == domain and name in each.attributes
    )


def _usage(schema: onnx.defs.OpSchema) -> str:
    """The inputs of an operator: `its inputs: X, W, B?`."""
    option = onnx.defs.OpSchema.FormalParameterOption
    marks = {option.Optional: "?", option.Variadic: "..."}
    return f"its inputs: {', '.join(each.name + marks.get(each.option, '') for each in schema.inputs)}"
