"""Prove rules on graphs that are generated for them."""

from vggc.pattern.instances.proof import RuleProof, proof_messages, prove_rule

__all__ = ["RuleProof", "proof_messages", "prove_rule"]
