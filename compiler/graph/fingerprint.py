"""What a graph computes, as one hash."""

from __future__ import annotations

import hashlib

from vggc.graph.graph import Graph
from vggc.graph.writer import weight_chunks


def fingerprint(graph: Graph) -> str:
    """SHA-256 over operators, attributes, names, known shapes and weights, in hexadecimal.

    What nodes tell of their origin is left out: the line of a recipe that made a node changes nothing of what it
    computes. Weights are read piece by piece; those on disk stay there.
    """
    exported = graph.export()
    for node in exported.model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    digest = hashlib.sha256()
    opsets = sorted((each.domain, each.version) for each in exported.model.opset_import)
    digest.update(repr(opsets).encode())
    # Names, types and shapes of the weights that stand apart are in the message, so their bytes can follow bare.
    digest.update(exported.model.graph.SerializeToString(deterministic=True))
    for values in exported.weights.values():
        for chunk in weight_chunks(values):
            digest.update(chunk)
    return digest.hexdigest()
