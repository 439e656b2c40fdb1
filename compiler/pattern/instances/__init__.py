"""Proving rules on graphs that are made for them."""

from vggc.pattern.instances.proof import RuleProof, prove_rule, told

__all__ = ["RuleProof", "prove_rule", "told"]
