"""Prove a rule: apply it to many graphs that are generated for it, and run each before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.printer

from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics
from vggc.graph import Graph
from vggc.pattern.application_proof import graph_as_text
from vggc.pattern.context import Context
from vggc.pattern.engine import run_rules
from vggc.pattern.instances import data_movement  # noqa: F401 - it adds to the operators that can be filled in
from vggc.pattern.instances.blanks import Misfit
from vggc.pattern.instances.generate import generate
from vggc.pattern.instances.hints import written_numbers
from vggc.pattern.instances.random_draws import Draw
from vggc.pattern.operator_checks import check_operators
from vggc.pattern.operators import NEWEST, OperatorSets
from vggc.pattern.rule import Rule

ENOUGH = 40
"""Graphs on which a rule is tried before it is believed."""

MOST_TRIALS = 4000
"""Graphs that are made for a rule; most guards leave many of them aside."""

_OPSETS = (17, 13, 21, 18, 20, 22, 11, 9)
_NO_KERNEL = "no kernel"
_ALL = 1 << 40
_ROUNDING = 1e-7
"""What a rule may change in double precision before a difference in single precision is more than rounding."""


@dataclass
class RuleProof:
    """What came of proving a rule: on how many graphs it held, and the graph on which it did not."""

    rule: Rule
    instances: int = 0
    counterexample: Diagnostic | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    """why it did not apply to the other graphs"""

    @property
    def proved(self) -> bool:
        return self.counterexample is None and self.instances > 0


def prove_rule(rule: Rule, *, seed: int = 0, enough: int = ENOUGH, trials: int = MOST_TRIALS) -> RuleProof:
    """Apply a rule of a recipe to graphs made for it, and run each before and after.

    Shapes, ranks, types and attributes are drawn from a seeded generator, and kept where the rule's condition holds.
    The proof ends with the first graph on which the results differ by more than the rule's tolerance.
    """
    proof = RuleProof(rule)
    numbers = written_numbers(rule)
    opsets = _opsets(rule)
    for trial in range(trials if opsets else 0):
        if proof.instances >= enough or proof.counterexample is not None:
            break
        sets = OperatorSets.at(opsets[trial % len(opsets)])
        try:
            graph = generate(rule, Draw((seed, trial), numbers), sets)
        except Misfit:
            proof.reasons["its operators did not fit together"] += 1
            continue
        _try(proof, graph)
    return proof


def _opsets(rule: Rule) -> list[int]:
    """The opsets to try: those the rule is for, and knows the operators of."""
    low, high = rule.opsets
    usual = [each for each in _OPSETS if low <= each <= high] or [min(max(low, 1), high, NEWEST)]
    return [each for each in usual if not check_operators(rule, OperatorSets.at(each))][:4]


def _try(proof: RuleProof, graph: Graph) -> None:
    """The graph as it is, and as a model of dynamic shape: fewer reasons not to apply are known of that."""
    if _holds(proof, graph, graph.copy()) and proof.counterexample is None:
        proof.instances += 1
    if proof.counterexample is None:
        _holds(proof, graph, _dynamic(graph))


def _dynamic(graph: Graph) -> Graph:
    """A copy whose inputs have dimensions that nobody knows."""
    found = graph.copy()
    for value in found.inputs:
        value.shape = None if value.shape is None else [None] * len(value.shape)
    for node in found.nodes:
        for value in node.outputs:
            value.shape = None
    return found


def _holds(proof: RuleProof, graph: Graph, after: Graph) -> bool:
    """Apply the rule to a copy of the graph; whether it applied, and nothing is wrong with what it did."""
    from vggc.execution.model_comparison import DoesNotRun

    after.infer_shapes()
    try:
        outcome = run_rules(after, [proof.rule], tell_guards=True)
    except CompileError as error:
        proof.counterexample = _message(proof.rule, graph, None, error.diagnostics[0].message)
        return False
    if not outcome.applied:
        proof.reasons[next((each.reason for each in outcome.refused), "its pattern does not match")] += 1
        return False
    try:
        difference = _difference(proof.rule, graph, after)
    except DoesNotRun as error:
        if _NO_KERNEL in error.diagnostics[0].message:
            proof.reasons["onnxruntime has no kernel for these types"] += 1
            return False
        proof.counterexample = _message(proof.rule, graph, after, f"it does not run: {error.diagnostics[0].message}")
        return False
    except CompileError:
        proof.reasons["what the pattern matches does not run in onnxruntime"] += 1
        return False
    if difference is not None and not _is_rounding(proof.rule, graph):
        proof.counterexample = _message(proof.rule, graph, after, difference)
        return False
    return True


def _difference(rule: Rule, before: Graph, after: Graph) -> str | None:
    """How the results differ by more than is allowed; None when they do not."""
    from vggc.execution.model_comparison import compare
    from vggc.execution.random_inputs import random_inputs

    feeds = random_inputs(before)
    positive = [
        {name: np.abs(array) if array.dtype.kind == "f" else array for name, array in each.items()} for each in feeds
    ]
    found = compare(before, after, [*feeds, *positive])
    wrong = [each for each in found.outputs if not each.ok and each.error > (rule.tolerance or 0.0)]
    return f"`{wrong[0].name}`: {wrong[0]}" if wrong else None


def _is_rounding(rule: Rule, graph: Graph) -> bool:
    """Whether the same graph in double precision is rewritten without a difference worth the name."""
    double = _in_double(graph)
    if double is None:
        return False
    after = double.copy()
    after.infer_shapes()
    try:
        if not run_rules(after, [rule], context=Context(runnable=False)).applied:
            return False
        return _small(double, after)
    except CompileError:
        return False


def _small(before: Graph, after: Graph) -> bool:
    """Whether two graphs in double precision agree. onnxruntime lacks kernels for it, ONNX's reference has them."""
    from onnx.reference import ReferenceEvaluator

    from vggc.execution.array_distance import distance
    from vggc.execution.random_inputs import random_inputs

    evaluators = [ReferenceEvaluator(each.export(inline_below=_ALL).model) for each in (before, after)]
    for feeds in random_inputs(before):
        try:
            results = [each.run(None, dict(feeds)) for each in evaluators]
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            return False
        if any(distance(*each).error > _ROUNDING for each in zip(*results, strict=True)):
            return False
    return True


def _in_double(graph: Graph) -> Graph | None:
    """The graph with all floats in double precision; None where it has none of another."""
    model = graph.export(inline_below=_ALL).model
    single = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    found = False
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        if kind.elem_type in single:
            kind.elem_type, found = onnx.TensorProto.DOUBLE, True
    for tensor in model.graph.initializer:
        if tensor.data_type in single:
            array: Any = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
            found = True
    del model.graph.value_info[:]
    if not found or any(node.op_type == "Cast" for node in model.graph.node):
        return None
    double = Graph.from_model(model)
    try:
        double.infer_shapes()
    except CompileError:
        return None
    return double


def _message(rule: Rule, before: Graph, after: Graph | None, difference: str) -> Diagnostic:
    facts = [("counter-example", graph_as_text(before)), ("difference", difference)]
    if after is not None:
        facts.insert(1, ("becomes", graph_as_text(after)))
    help = "correct the rule, restrict it with `where`, or state how far results may differ: `rule NAME tolerance=1e-3`"
    return Diagnostic(f"rule `{rule.name}` is wrong", rule.name_span, "", tuple(facts), help, code=Code.RULE_WRONG)


def proof_messages(proofs: Sequence[RuleProof]) -> Diagnostics:
    """Errors for rules that are wrong, and warnings for those that could not be tried."""
    found = Diagnostics()
    for proof in proofs:
        if proof.counterexample is not None:
            found.extend([proof.counterexample])
        elif not proof.instances:
            why = tuple(("note", f"{reason} ({times} graphs)") for reason, times in proof.reasons.most_common(3))
            message = f"rule `{proof.rule.name}` could not be tested: it rewrote none of the generated graphs"
            help = "try it on a model of your own with `vggc plan`"
            found.warning(message, proof.rule.name_span, facts=why, help=help, code=Code.RULE_UNTRIED)
    return found
