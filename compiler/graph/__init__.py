"""The graph being rewritten: onnx-graphsurgeon's, with what it loses kept and weights left on disk."""

from vggc.graph.graph import Graph
from vggc.graph.model_export import Exported
from vggc.graph.weights import StoredWeights
from vggc.graph.writer import Written

__all__ = ["Exported", "Graph", "StoredWeights", "Written"]
