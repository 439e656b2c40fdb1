"""Find every node that TensorRT cannot import: `python -P -m vggc.targets.import_probe JOB.json`.

The importer reports the nodes whose operator it does not support, then the first node that fails for another reason,
and no node after that one. So each reported node is removed, its results become inputs of the model, and the rest is
imported again, until nothing fails. The job's keys are `package` and `model`, an ONNX file with the types and shapes
of all values.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from vggc.targets.engine_child import Failed, Log, answer, import_model, load_package, new_network, tensor_facts

ROUNDS = 200
"""The largest number of imports. Each one finds at least one more node."""

_AROUND = re.compile(r"^(.*) \((\w+)\)$")
"""The importer's text for a node whose body contains the failing node: `choose (If)`."""

_LIMIT = (1 << 31) - 1
"""The largest size in bytes of a model that can be passed in memory."""


def main(arguments: list[str]) -> None:
    """Probe as the job file says and print the result."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    answer(lambda log: probe(job, log))


def probe(job: dict[str, Any], log: Log) -> dict[str, Any]:
    """The `errors` of all rounds, and `unseen`: nodes that were not checked because they read values of unknown shape.

    `outputs` are the network's, when the whole model could be imported.
    """
    trt, logger = load_package(job["package"], log)
    builder = trt.Builder(logger)
    model: onnx.ModelProto | None = None
    errors: list[dict[str, Any]] = []
    unseen: list[str] = []
    for _ in range(ROUNDS):
        network = new_network(trt, builder)
        content = model.SerializeToString() if model is not None else None
        try:
            round_errors = import_model(trt, network, logger, job["model"], content)
        except Failed as failure:
            # Without its bad nodes, a model may be empty.
            if not errors or failure.kind == "import_model":
                raise
            round_errors = []
        if not round_errors:
            break
        # External weights stay in their file.
        model = model or onnx.load(job["model"], load_external_data=False)
        named = [{**each, "node": _erring_node(model, each)} for each in round_errors]
        fresh = [each for each in named if each not in errors]
        errors += fresh
        removed = [each for each in fresh if _remove_erring_node(model, each, unseen)]
        if not model.graph.output:
            break
        if not removed or model.ByteSize() > _LIMIT:
            reported = {each["node"] for each in errors}
            unseen += [name for node in model.graph.node if (name := _parser_name(node)) not in reported]
            break
    outputs = [network.get_output(index) for index in range(network.num_outputs)] if not errors else []
    return {"errors": errors, "unseen": unseen, "outputs": [tensor_facts(each) for each in outputs]}


def _erring_node(model: onnx.ModelProto, error: dict[str, Any]) -> str:
    """The name of the node that an error is about, made from its first output when the node has no name."""
    index = error["index"]
    if error["node"] or error["inside"] or not 0 <= index < len(model.graph.node):
        return str(error["node"])
    return _parser_name(model.graph.node[index])


def _parser_name(node: onnx.NodeProto) -> str:
    return node.name or f"node_of_{node.output[0] if node.output else ''}"


def _remove_erring_node(model: onnx.ModelProto, error: dict[str, Any], unseen: list[str]) -> bool:
    """Remove the node of an error, or else a node whose body contains it. False when there is no such node."""
    around = [match[1] for each in reversed(error["inside"]) if (match := _AROUND.match(each))]
    return any(_remove_node(model, name, unseen) for name in (error["node"], *around) if name)


def _remove_node(model: onnx.ModelProto, name: str, unseen: list[str]) -> bool:
    """Remove a node, and make its results inputs of the model. Results of unknown shape cannot be inputs, so the nodes
    that read them are removed as well.

    False when there is no such node, or it is in a body and cannot be removed alone.
    """
    for graph in _graphs(model.graph):
        known = {each.name: each for each in (*graph.value_info, *graph.output)}
        for node in graph.node:
            if _parser_name(node) != name:
                continue
            results = [known.get(each, onnx.ValueInfoProto(name=each)) for each in node.output if each]
            stated = [each for each in results if each.type.tensor_type.HasField("shape")]
            lost = {each.name for each in results} - {each.name for each in stated}
            if lost and graph is not model.graph:
                return False
            graph.node.remove(node)
            model.graph.input.extend(stated)
            # An input cannot be an output as well.
            _remove_readers(model.graph, set(node.output), lost, unseen)
            return True
    return False


def _remove_readers(graph: onnx.GraphProto, removed: set[str], lost: set[str], unseen: list[str]) -> None:
    """Remove the nodes that need `lost` values, and the outputs that are `removed` or need them."""
    kept = []
    # Nodes are in the order in which they run.
    for node in graph.node:
        if lost.isdisjoint(_read(node)):
            kept.append(node)
        else:
            lost |= set(node.output)
            unseen.append(_parser_name(node))
    outputs = [each for each in graph.output if each.name not in removed | lost]
    del graph.node[:], graph.output[:]
    graph.node.extend(kept)
    graph.output.extend(outputs)


def _read(node: onnx.NodeProto) -> set[str]:
    """The values a node reads, those read inside its bodies included."""
    bodies = [each.g for each in node.attribute if each.type == onnx.AttributeProto.GRAPH]
    return {*node.input, *(name for body in bodies for inner in body.node for name in _read(inner))}


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


if __name__ == "__main__":
    main(sys.argv[1:])
