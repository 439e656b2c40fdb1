"""Find every node that TensorRT cannot import: `python -P -m vggc.targets.probe_nodes JOB.json`.

The importer names the nodes whose operator it lacks, then the first it fails on otherwise, and is silent about those
behind. So each node it names is cut out, its results made inputs of the model, and what is left imported again, until
nothing fails. The job's keys are `package` and `model`, an ONNX file that states its values' types and shapes.
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
"""Imports after which the search ends; each finds at least one node more."""

_AROUND = re.compile(r"^(.*) \((\w+)\)$")
"""How the importer names a node around another one: `choose (If)`."""

_LIMIT = (1 << 31) - 1
"""Bytes of a model that can be handed over in memory; one beyond has its weights in a file of their own."""


def main(arguments: list[str]) -> None:
    """Probe as the job file says and print the result."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    answer(lambda log: probe(job, log))


def probe(job: dict[str, Any], log: Log) -> dict[str, Any]:
    """The errors of all rounds, and the nodes that were not looked at: they read what has no known shape.

    `outputs` are the network's, when the model as it is was imported.
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
            found = import_model(trt, network, logger, job["model"], content)
        except Failed as failure:
            # What is left of a model without its bad nodes may be nothing at all.
            if not errors or failure.kind == "import_model":
                raise
            found = []
        if not found:
            break
        # Weights that stand in a file of their own stay there.
        model = model or onnx.load(job["model"], load_external_data=False)
        named = [{**each, "node": _name(model, each)} for each in found]
        fresh = [each for each in named if each not in errors]
        errors += fresh
        cut = [each for each in fresh if _cut(model, each, unseen)]
        if not model.graph.output:
            break
        if not cut or model.ByteSize() > _LIMIT:
            named_before = {each["node"] for each in errors}
            unseen += [name for node in model.graph.node if (name := _called(node)) not in named_before]
            break
    outputs = [network.get_output(index) for index in range(network.num_outputs)] if not errors else []
    return {"errors": errors, "unseen": unseen, "outputs": [tensor_facts(each) for each in outputs]}


def _name(model: onnx.ModelProto, error: dict[str, Any]) -> str:
    """The name of the node an error is about, made from its first output where it has none of its own."""
    at = error["index"]
    if error["node"] or error["inside"] or not 0 <= at < len(model.graph.node):
        return str(error["node"])
    return _called(model.graph.node[at])


def _called(node: onnx.NodeProto) -> str:
    return node.name or f"node_of_{node.output[0] if node.output else ''}"


def _cut(model: onnx.ModelProto, error: dict[str, Any], unseen: list[str]) -> bool:
    """Take the node of an error out, or else the one around it. False when there is none of that name."""
    around = [found[1] for each in reversed(error["inside"]) if (found := _AROUND.match(each))]
    return any(_take_out(model, name, unseen) for name in (error["node"], *around) if name)


def _take_out(model: onnx.ModelProto, name: str, unseen: list[str]) -> bool:
    """Make a node's results inputs of the model; where their shape is not known, take out what reads them as well.

    False when there is no such node, or it is in a body and cannot be taken out alone.
    """
    for graph in _graphs(model.graph):
        known = {each.name: each for each in (*graph.value_info, *graph.output)}
        for node in graph.node:
            if _called(node) != name:
                continue
            results = [known.get(each, onnx.ValueInfoProto(name=each)) for each in node.output if each]
            stated = [each for each in results if each.type.tensor_type.HasField("shape")]
            lost = {each.name for each in results} - {each.name for each in stated}
            if lost and graph is not model.graph:
                return False
            graph.node.remove(node)
            model.graph.input.extend(stated)
            # An input cannot be an output as well.
            _forget(model.graph, set(node.output), lost, unseen)
            return True
    return False


def _forget(graph: onnx.GraphProto, gone: set[str], lost: set[str], unseen: list[str]) -> None:
    """Take out the nodes that need values which are `lost`, and the outputs that are `gone` with them."""
    kept = []
    # Nodes stand in the order in which they run.
    for node in graph.node:
        if lost.isdisjoint(_read(node)):
            kept.append(node)
        else:
            lost |= set(node.output)
            unseen.append(_called(node))
    outputs = [each for each in graph.output if each.name not in gone | lost]
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
