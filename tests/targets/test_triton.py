"""Triton's model repository: its configuration read by Triton's own protobuf, its files where a server looks."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format

from vggc.binding import bind
from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.graph.signature import ValueType
from vggc.pipeline.precheck import check_fit
from vggc.targets.contract import Lowering
from vggc.targets.tensorrt import tensorrt
from vggc.targets.triton import triton
from vggc.targets.triton_config import Service, text
from vggc.values import Seconds

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]

NET = "g (float[N,3] x, int64[N] ids) => (float[N,3] y, float[N,K,2] z) { y = Relu(x) z = my.Split(x, ids) }"


@pytest.fixture(scope="module")
def protobuf() -> Any:
    """Triton's model_config.proto as Python has it; the module alone, since its package wants gRPC."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        pytest.skip("tritonclient is not installed (a dev dependency)")
    path = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # It was generated for the protobuf before, which is checked with a warning only.
        patch.setenv("TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK", "true")
        spec.loader.exec_module(module)
    return module


def read(protobuf: Any, path: Path) -> Any:
    return text_format.Parse(path.read_text(encoding="ascii"), protobuf.ModelConfig())


@pytest.fixture
def net(make_graph: GraphMaker) -> Graph:
    return make_graph(NET, domains=', "my": 1')


def test_a_repository_of_the_onnx_model(net: Graph, lower: LoweringMaker, protobuf: Any) -> None:
    lowering = lower(net)
    artifacts = triton(lowering, name="classifier", max_batch=32, instances=2, device="gpu")
    assert [each.path for each in artifacts] == [
        "triton/classifier/config.pbtxt",
        "triton/classifier/1/model.onnx",
    ]
    config = read(protobuf, lowering.directory / artifacts[0].path)
    assert (config.name, config.platform, config.max_batch_size) == ("classifier", "onnxruntime_onnx", 32)
    assert [(each.name, each.data_type, list(each.dims)) for each in config.input] == [
        ("x", protobuf.TYPE_FP32, [3]),
        ("ids", protobuf.TYPE_INT64, [1]),
    ]
    assert [each.HasField("reshape") for each in config.input] == [False, True]
    assert [(each.name, list(each.dims)) for each in config.output] == [("y", [3]), ("z", [-1, 2])]
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (2, protobuf.ModelInstanceGroup.KIND_GPU)
    assert not config.HasField("dynamic_batching")
    model = onnx.load(lowering.directory / artifacts[1].path)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Split"]


def test_requests_put_together(net: Graph, lower: LoweringMaker, protobuf: Any) -> None:
    lowering = lower(net)
    triton(lowering, max_batch=16, delay=Seconds(0.0025), preferred=[8, 16])
    config = read(protobuf, lowering.directory / "triton/model/config.pbtxt")
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 16]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2500


def test_without_batching_dimensions_are_the_models_own(net: Graph, lower: LoweringMaker, protobuf: Any) -> None:
    lowering = lower(net)
    triton(lowering, repository="models")
    config = read(protobuf, lowering.directory / "models/model/config.pbtxt")
    assert config.max_batch_size == 0
    assert [list(each.dims) for each in config.input] == [[-1, 3], [-1]]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "größe", "new\nline", "a:0"])
def test_names_of_every_kind(protobuf: Any, name: str) -> None:
    value = ValueType(name, np.dtype("float32"), (2, 3))
    content = text(Service("m", "onnxruntime_onnx", 0, 1, "auto"), [value], [value])
    config = text_format.Parse(content, protobuf.ModelConfig())
    assert config.input[0].name == config.output[0].name == name


def test_every_type_is_one_of_tritons(protobuf: Any) -> None:
    from vggc.targets.serving_types import TRITON_TYPES

    known = set(protobuf.DataType.keys())
    assert set(TRITON_TYPES.values()) == known - {"TYPE_INVALID"}


# --- what cannot be served -----------------------------------------------------------------------------------


def refused(lowering: Lowering, **options: Any) -> str:
    with pytest.raises(CompileError) as error:
        triton(lowering, **options)
    return "\n".join(render(each) for each in error.value.diagnostics)


def test_a_batch_that_does_not_vary(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    lowering = lower(make_graph("g (float[4,3] x) => (float[4,3] y) { y = Relu(x) }"))
    assert refused(lowering, max_batch=8) == (
        "error: Triton batches along the first dimension, but that of the input `x` float32 [4, 3] does not vary\n"
        "help: use max_batch=0 to serve the model with its fixed batch size"
    )
    assert list(lowering.directory.iterdir()) == []
    triton(lowering)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "../escape"}, "`../escape` is not a file name"),
        ({"repository": "/srv"}, "`/srv` is not a file name"),
        ({"preferred": [4], "max_batch": 8}, "preferred=... needs delay=...: otherwise no request waits for others"),
        ({"delay": Seconds(1)}, "delay=... needs max_batch=...: otherwise there are no batches"),
        (
            {"delay": Seconds(1), "max_batch": 8, "preferred": [16]},
            "preferred=16 is not a batch size from 1 to max_batch=8",
        ),
        ({"platform": "tensorrt"}, "no target before this one built the engine `model.engine`"),
    ],
)
def test_options_that_make_no_sense(net: Graph, lower: LoweringMaker, options: dict[str, Any], message: str) -> None:
    lowering = lower(net)
    assert refused(lowering, **options).splitlines()[0] == f"error: {message}"
    outside = [each for each in lowering.directory.parent.iterdir() if each.name not in ("staging",)]
    assert outside == []


def test_a_type_that_triton_does_not_have(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    lowering = lower(make_graph("g (float8e4m3fn[3] x) => (float8e4m3fn[3] y) { y = Identity(x) }", opset=19))
    assert refused(lowering).splitlines()[0] == "error: Triton does not support the type float8_e4m3fn of the input `x`"


# --- plans ---------------------------------------------------------------------------------------------------


@pytest.fixture
def built(make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None]) -> Lowering:
    """A lowering in which `target tensorrt` has built an engine."""
    fake_tensorrt("built")
    lowering = lower(make_graph("g (float[2,3] x) => (float[2,3] y) { [relu1] y = Relu(x) }"))
    tensorrt(lowering)
    return lowering


def test_a_repository_of_a_plan(built: Lowering, protobuf: Any) -> None:
    artifacts = triton(built, platform="tensorrt", name="plan")
    assert [each.path for each in artifacts] == ["triton/plan/config.pbtxt", "triton/plan/1/model.plan"]
    config = read(protobuf, built.directory / artifacts[0].path)
    assert config.platform == "tensorrt_plan"
    sidecar = json.loads((built.directory / "model.engine.json").read_text())
    assert artifacts[1].sha256 == sidecar["engine"]["sha256"]


def test_a_plan_of_rtx_is_never_served(built: Lowering) -> None:
    built.engines["model.engine"] = ("tensorrt_rtx", built.directory / "model.engine")
    assert refused(built, platform="tensorrt") == (
        "error: `target tensorrt_rtx` built the engine `model.engine`, which this target cannot use\nhelp: write "
        "`target tensorrt` before this target"
    )


def test_a_plan_for_smaller_batches(built: Lowering) -> None:
    path = built.directory / "model.engine.json"
    values = json.loads(path.read_text())
    shapes = {"min": [1, 3], "opt": [2, 3], "max": [4, 3]}
    path.write_text(json.dumps({**values, "profiles": [{"x": shapes}]}))
    for value in (*built.graph.inputs, *built.graph.outputs):
        value.shape = ["N", 3]
    assert refused(built, platform="tensorrt", max_batch=8) == (
        "error: the engine `model.engine` takes batches of at most 4, but Triton would send 8\n"
        "help: write max_batch=4, or build the engine with batch=1..8"
    )


@pytest.mark.parametrize(
    ("largest", "found"),
    [
        (8, []),
        (
            4,
            [
                "error: the engine `model.engine` takes batches of at most 4, but Triton would send 8\n"
                " --> recipe.opt:2:8\n"
                "  |\n"
                "2 | target triton(platform=tensorrt, max_batch=8)\n"
                "  |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
                "help: write max_batch=4, or build the engine with batch=1..8"
            ],
        ),
    ],
)
def test_a_plan_for_smaller_batches_is_found_before_it_is_built(
    make_graph: GraphMaker, fake_tensorrt: Callable[[str], None], largest: int, found: list[str]
) -> None:
    fake_tensorrt("built")
    recipe = f"target tensorrt(batch=1..{largest})\ntarget triton(platform=tensorrt, max_batch=8)\n"
    pipeline = bind(parse(Source("recipe.opt", recipe)))
    graph = make_graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    try:
        diagnostics = check_fit(pipeline, graph)
    except CompileError as error:
        diagnostics = error.diagnostics
    assert [render(each) for each in diagnostics] == found
