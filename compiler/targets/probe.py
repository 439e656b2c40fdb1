"""Ask TensorRT's own importer about a model, every node of it: `findings` come back for all it cannot take."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vggc.graph import Graph
from vggc.graph.signature import outputs_of, shape_text, type_text
from vggc.targets import sidecar
from vggc.targets.engine_messages import TITLES, import_message, meaning, short
from vggc.targets.engine_process import ask
from vggc.targets.node_names import all_nodes, describer, parser_name
from vggc.targets.verifier import Finding
from vggc.targets.verifier.operators import INSTEAD

MINUTES = 600.0
"""Seconds after which the importer is given up; it takes less than one for most models."""


def import_findings(graph: Graph, package: str, *, timeout: float | None = MINUTES) -> list[Finding]:
    """What a flavour's importer says of a graph whose types and shapes are inferred: one finding a node.

    Raises CompileError when the importer itself fails: it crashes, takes longer than `timeout` seconds, or is not
    installed as it should be.
    """
    describe = describer(graph)
    with tempfile.TemporaryDirectory(prefix="vggc-probe-") as folder:
        model = Path(folder) / "model.onnx"
        graph.save(model, external=True)
        done, _ = ask("vggc.targets.probe_nodes", {"package": package, "model": str(model)}, describe, timeout=timeout)
    nodes = {parser_name(node): node for node in all_nodes(graph)}
    found = []
    for error in done["errors"]:
        node = nodes.get(error["node"])
        message = import_message(error, TITLES[package], describe)
        known = meaning(error["text"])
        # The message's facts begin with where the node comes from; a finding says that of its node by itself.
        facts = message.facts[len(describe(error["node"]).facts) :] if node is not None else message.facts
        help = INSTEAD.get(node.op, message.help) if node is not None else message.help
        found.append(Finding(message.message, known[0] if known else short(error["text"]), node, facts, help))
    if unseen := done["unseen"]:
        more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
        what = f"{describe(unseen[0]).label}{more} could not be asked about"
        found.append(
            Finding(
                f"{what}: {'they read' if more else 'it reads'} values whose shapes are not known",
                f"{what}: the shapes they read are not known",
                help="fix the input shapes with set_input_shapes, or state the shapes of values in the model",
                severity="warning",
            )
        )
    return found + declared_otherwise(graph, done["outputs"], TITLES[package])


def declared_otherwise(graph: Graph, built: Sequence[dict[str, Any]], title: str) -> list[Finding]:
    """Outputs that the model declares otherwise than TensorRT, which trusts its own inference, computes them."""
    found = []
    by_name = {each["name"]: each for each in built}
    for declared in outputs_of(graph) if built else ():
        made = by_name.get(declared.name)
        if made is None:
            text = f"{title} has no output `{declared.name}` in the engine it built"
            found.append(Finding(text, text))
            continue
        type_name, shape = sidecar.type_name(made["type"]), made["shape"]
        if type_name == type_text(declared.dtype).replace("_", "") and _agree(declared.shape, shape):
            continue
        computed = shape_text([None if each < 0 else each for each in shape])
        text = f"the model declares the output {declared}, but {title} computes {type_name} {computed}"
        found.append(Finding(text, text, help="export the model with the output's right type and shape"))
    return found


def _agree(declared: Sequence[int | str | None] | None, built: Sequence[int]) -> bool:
    if declared is None:
        return True
    return len(declared) == len(built) and all(
        one == other
        for one, other in zip(declared, built, strict=True)
        if isinstance(one, int) and one >= 0 and other >= 0
    )
