"""Let TensorRT's own importer check every node of a model, and return a finding for each node that it refuses."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code
from vggc.graph import Graph
from vggc.graph.arrays import Size
from vggc.graph.signature import outputs_of, shape_text, type_text
from vggc.targets import sidecar
from vggc.targets.engine_messages import TITLES, import_message, meaning, short
from vggc.targets.engine_process import ask
from vggc.targets.node_names import all_nodes, describer, parser_name
from vggc.targets.verifier import Finding
from vggc.targets.verifier.operators import INSTEAD

IMPORT_TIMEOUT = 600.0
"""Seconds after which the importer is stopped. It takes less than one second for most models."""


def import_findings(graph: Graph, package: str, *, timeout: float | None = IMPORT_TIMEOUT) -> list[Finding]:
    """What a flavour's importer refuses in a graph whose types and shapes are inferred: one finding for each node.

    Raises CompileError when the importer itself fails: it crashes, takes longer than `timeout` seconds, or is not
    installed correctly.
    """
    describe = describer(graph)
    with tempfile.TemporaryDirectory(prefix="vggc-probe-") as folder:
        model = Path(folder) / "model.onnx"
        graph.save(model, external=True)
        done, _ = ask("vggc.targets.import_probe", {"package": package, "model": str(model)}, describe, timeout=timeout)
    nodes = {parser_name(node): node for node in all_nodes(graph)}
    findings = []
    for error in done["errors"]:
        node = nodes.get(error["node"])
        message = import_message(error, TITLES[package], describe)
        known = meaning(error["text"])
        # The message's facts begin with the node's origin, which a finding adds by itself.
        facts = message.facts[len(describe(error["node"]).facts) :] if node is not None else message.facts
        help = INSTEAD.get(node.op, message.help) if node is not None else message.help
        findings.append(
            Finding(message.message, known[0] if known else short(error["text"]), node, facts, help, Code.IMPORT)
        )
    if unseen := done["unseen"]:
        more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
        what = f"{describe(unseen[0]).label}{more} could not be checked"
        findings.append(
            Finding(
                f"{what}: {'they read' if more else 'it reads'} values whose shapes are not known",
                f"{what}: the shapes they read are not known",
                help="fix the input shapes with set_input_shapes, or state the shapes of values in the model",
                severity="warning",
                code=Code.UNCHECKED,
            )
        )
    return findings + output_mismatches(graph, done["outputs"], TITLES[package])


def output_mismatches(graph: Graph, built: Sequence[dict[str, Any]], title: str) -> list[Finding]:
    """Outputs whose declaration in the model differs from the type or shape that TensorRT infers and computes."""
    findings = []
    by_name = {each["name"]: each for each in built}
    for declared in outputs_of(graph) if built else ():
        made = by_name.get(declared.name)
        if made is None:
            text = f"the engine that {title} built has no output `{declared.name}`"
            findings.append(Finding(text, text, code=Code.ENGINE_INTERFACE))
            continue
        type_name, shape = sidecar.type_name(made["type"]), made["shape"]
        if type_name == type_text(declared.dtype).replace("_", "") and _agree(declared.shape, shape):
            continue
        computed = shape_text([None if each < 0 else each for each in shape])
        text = f"the model declares the output {declared}, but {title} computes {type_name} {computed}"
        findings.append(
            Finding(
                text, text, help="export the model with the output's right type and shape", code=Code.ENGINE_INTERFACE
            )
        )
    return findings


def _agree(declared: Sequence[Size] | None, built: Sequence[int]) -> bool:
    if declared is None:
        return True
    return len(declared) == len(built) and all(
        one == other
        for one, other in zip(declared, built, strict=True)
        if isinstance(one, int) and one >= 0 and other >= 0
    )
