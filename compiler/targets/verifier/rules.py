"""All rules in their order, and the findings that they report for a graph."""

from __future__ import annotations

from vggc.diagnostics import Diagnostic
from vggc.targets.verifier.attention import attention_kernels
from vggc.targets.verifier.baked_sizes import baked_sizes
from vggc.targets.verifier.branches import branch_ranks
from vggc.targets.verifier.epilogues import both_quantized, padding_kept, residual_sums, whole_epilogues
from vggc.targets.verifier.finding import Finding, LoweredGraph, Rule
from vggc.targets.verifier.operators import buildable_operators, own_operators
from vggc.targets.verifier.opsets import known_opset
from vggc.targets.verifier.quantized_constants import quantized_constants
from vggc.targets.verifier.quantizers import quantized_opsets, symmetric_quantization
from vggc.targets.verifier.scale_axes import channel_axes
from vggc.targets.verifier.types import declared_ranks, known_types, quantized_casts, types_of_capability

RULES: tuple[Rule, ...] = (
    known_opset,
    declared_ranks,
    known_types,
    types_of_capability,
    quantized_casts,
    buildable_operators,
    own_operators,
    branch_ranks,
    attention_kernels,
    quantized_constants,
    symmetric_quantization,
    quantized_opsets,
    channel_axes,
    whole_epilogues,
    residual_sums,
    padding_kept,
    both_quantized,
)

DYNAMIC_RULES: tuple[Rule, ...] = (baked_sizes,)
"""Rules that hold only when the batch varies; a profile may fix it."""


def findings(subject: LoweredGraph, *, batch_varies: bool = True) -> list[Finding]:
    """The findings of all rules for a graph."""
    rules = (*RULES, *DYNAMIC_RULES) if batch_varies else RULES
    return [each for rule in rules for each in rule(subject)]


def refusals(subject: LoweredGraph, *, batch_varies: bool = True) -> list[Diagnostic]:
    """The findings that keep an engine from being built, as messages."""
    found = findings(subject, batch_varies=batch_varies)
    return [each.diagnostic() for each in found if each.severity == "error"]
