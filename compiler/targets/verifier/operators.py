"""Operators without an implementation, operators of other domains, and what to use instead."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from vggc.graph.domains import is_standard
from vggc.operators.kernels import NOT_IN_TENSORRT
from vggc.operators.quantizers import INTEGER_OPERATORS
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph, cannot_build

_QUANTIZE_AGAIN = "quantize the float model with `quantize(int8, ...)`"
_TRAINING = "it is for training: export the model for inference"
_LIBRARY = (
    'the rule library replaces it by Split when the parts have fixed sizes: `use "vggc:rules/all.opt"`, then `optimize`'
)
_ON_THE_CPU = "end the model before it and run it outside the engine; `target onnxruntime` runs it on the CPU"
INSTEAD: dict[str, str] = {
    **dict.fromkeys(INTEGER_OPERATORS, _QUANTIZE_AGAIN),
    "DynamicQuantizeLinear": "quantize with fixed scales instead: `quantize(int8, data=...)`",
    "NonMaxSuppression": _ON_THE_CPU,
    "NonZero": _ON_THE_CPU,
    "SplitToSequence": _LIBRARY,
    "SequenceAt": _LIBRARY,
    **dict.fromkeys(("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss", "Adam", "Adagrad", "Momentum"), _TRAINING),
}
"""Help for operators that are not supported."""

_OPERANDS = ("x", "y", "z", "u", "v", "w")


def buildable_operators(subject: LoweredGraph) -> Iterator[Finding]:
    """Some operators can be imported, but have no implementation."""
    refused = NOT_IN_TENSORRT[subject.flavour]
    for node in all_nodes(subject.graph):
        if node.op in refused and is_standard(node):
            yield cannot_build(subject, node, refused[node.op], INSTEAD.get(node.op, ""))


def own_operators(subject: LoweredGraph) -> Iterator[Finding]:
    """The importer reads an operator's name and ignores its domain: it would compute `my.Relu` as ONNX's Relu."""
    for node in all_nodes(subject.graph):
        if not is_standard(node) and onnx.defs.has(node.op):
            call = f"{node.op}({', '.join(_OPERANDS[: len(node.inputs)])})"
            reason = f"it would be computed as ONNX's own {node.op}, because TensorRT ignores the domain"
            yield Finding(
                f"{subject.title} does not support {subject.graph.label(node)} of the domain `{node.domain}`",
                reason,
                node,
                facts=(("note", reason),),
                help=f"if both operators are the same, write a rule: {node.domain}.{call} => {call}",
            )
