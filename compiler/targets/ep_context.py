"""The target `ep_context`: an ONNX file through which onnxruntime loads an engine instead of building one.

Source: onnxruntime's "EP Context Cache Feature Design", and the attributes that the TensorRT and TensorRT RTX execution
providers read. The attribute `source` names the provider: each loads only the nodes that bear its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import helper

from vggc.diagnostics import Code, fail
from vggc.graph.signature import inputs_of, outputs_of
from vggc.graph.writer import PROTOBUF_LIMIT, value_info
from vggc.targets.contract import Artifact, Lowering, target
from vggc.targets.engine_file import read_engine, read_sidecar_of
from vggc.targets.onnxruntime import PROVIDERS

FLAVOURS = ("tensorrt", "tensorrt_rtx")
DOMAIN = "com.microsoft"

_RESERVED = 1 << 20
"""Bytes kept free for names and shapes in an ONNX file that contains the engine."""


def _reads(options: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    return {options["engine"]: FLAVOURS}


@target(reads=_reads)
def ep_context(
    lowering: Lowering, *, engine: str = "model.engine", embed: bool = False, name: str = "model_ctx.onnx"
) -> list[Artifact]:
    """Write an ONNX file through which onnxruntime loads an engine that an earlier target built.

    It has the inputs and outputs of the model. onnxruntime needs the execution provider of the engine's flavour:
    TensorrtExecutionProvider, or NvTensorRTRTXExecutionProvider for `tensorrt_rtx`.

    Options:
        engine: the engine's file name. The engine must stay beside the ONNX file.
        embed: put the engine, at most 2 GiB, into the ONNX file.
        name: the file's name in the output folder.
    """
    graph = lowering.graph
    inputs_of(graph), outputs_of(graph)
    source = lowering.engine(engine, FLAVOURS)
    sidecar = read_sidecar_of(source)
    values = sidecar.values
    content: str | bytes = engine
    if embed:
        content = read_engine(sidecar)
        if len(content) > PROTOBUF_LIMIT - _RESERVED:
            raise fail(
                f"the engine `{engine}` is larger than the 2 GiB that an ONNX file can hold",
                help="use embed=false to keep it beside the file",
                code=Code.FILE_NAMES,
            )
    node = helper.make_node(
        "EPContext",
        [each.name for each in graph.inputs],
        [each.name for each in graph.outputs],
        lowering.model_name,
        domain=DOMAIN,
        main_context=1,
        embed_mode=int(embed),
        ep_cache_context=content,
        ep_sdk_version=values["version"],
        partition_name=lowering.model_name,
        source=PROVIDERS[values["flavour"]],
    )
    takes, gives = ([value_info(each) for each in values] for values in (graph.inputs, graph.outputs))
    model = helper.make_model(
        helper.make_graph([node], lowering.model_name, takes, gives),
        producer_name="vggc",
        ir_version=min(graph.ir_version, 10),
        opset_imports=[helper.make_opsetid("", graph.opset), helper.make_opsetid(DOMAIN, 1)],
    )
    onnx.checker.check_model(model)
    path = lowering.claim(name)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return [Artifact.of(path, lowering.directory, "ep_context")]
