"""What TensorRT RTX's own importer refuses: every node in one run, in words."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest

from vggc.diagnostics import Code, CompileError, render
from vggc.graph import Graph
from vggc.graph.extras import annotate
from vggc.targets.contract import Lowering
from vggc.targets.diagnosis import diagnose
from vggc.targets.engine_messages import meaning
from vggc.targets.import_findings import import_findings
from vggc.targets.tensorrt import tensorrt_rtx
from vggc.values import Interval

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel for this platform"
)

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]

FIVE = """
g (float[3,4] x, bool c) => (float[3,4] y, float u, float[3,4] w) <float[3,4] b, float[3,4] f> {
    [a] b = my.Foo(x)
    [keep] d = Relu(b)
    [det] u = Det(f)
    [choose] h = If(c) <
        then_branch = t () => (float[3,4] p) { [inner] p = my.Baz(d) },
        else_branch = e () => (float[3,4] q) { q = Neg(d) }
    >
    [size] s = Shape(d)
    [e] f = my.Bar(d)
    [axes] r = ReduceSum<keepdims=1>(f, s)
    w = my.Qux(d)
    [sum] y = Add(h, b)
    [last] l = Add(h, r)
}
"""


@pytest.fixture
def five(make_graph: GraphMaker) -> Graph:
    """Six nodes that are refused, in a body, behind each other, and for other reasons than their names."""
    graph = make_graph(FIVE.replace("float[3,4] w) <", "float[3,4] w, float[m,n] l) <"), domains=', "my": 1')
    graph.infer_shapes()
    refused = next(node for node in graph.nodes if node.name == "e")
    annotate(refused, {"vggc.line": "my.opt:3", "vggc.pass": "swap", "vggc.from": "bar_1, bar_2"})
    return graph


def test_all_nodes_that_are_refused_in_one_run(five: Graph) -> None:
    found = import_findings(five, "tensorrt_rtx")
    names = {each.node.name or each.node.outputs[0].name for each in found if each.node is not None}
    assert names == {"a", "det", "e", "inner", "axes", "w"}
    reasons = {each.node.name: each.reason for each in found if each.node is not None}
    assert reasons["det"] == reasons["e"] == reasons["inner"] == "this operator is not supported"
    assert reasons["axes"] == "an input that must be constant is computed while the model runs"


def test_messages_say_where_a_node_comes_from(five: Graph) -> None:
    [found] = [
        each for each in import_findings(five, "tensorrt_rtx") if each.node is not None and each.node.name == "e"
    ]
    assert render(found.diagnostic()) == (
        "error: TensorRT RTX cannot import Bar `e`\n"
        " = made by: swap, my.opt:3\n"
        " = made from: bar_1, bar_2\n"
        " = note: this operator is not supported\n"
        ' = TensorRT RTX: creator && "Plugin not found, are the plugin name, version, and namespace correct?"\n'
        "help: rewrite it with supported operators (a `rule` can do this), or run the model with `target onnxruntime`"
    )


def test_lowering_lists_them_all_too(five: Graph, lower: LoweringMaker) -> None:
    lowering = lower(five)
    with pytest.raises(CompileError) as error:
        tensorrt_rtx(lowering, batch=Interval((1, 2)))
    errors = [each.message for each in error.value.diagnostics if each.severity == "error"]
    assert len(errors) == 6
    assert {each.code for each in error.value.diagnostics} == {Code.IMPORT, Code.UNCHECKED}
    assert "TensorRT RTX cannot import Baz `inner`" in errors
    assert list(lowering.directory.iterdir()) == []


def test_lowering_names_what_the_rules_and_the_importer_refuse(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph(
        "g (float[3] x) => (float[3] y, float[3] u, int64[1,n] v) "
        "{ [foo] y = my.Foo(x) [neg] u = my.Neg(x) [nz] v = NonZero(x) }",
        domains=', "my": 1',
    )
    with pytest.raises(CompileError) as error:
        tensorrt_rtx(lower(graph))
    assert [each.message for each in error.value.diagnostics] == [
        "TensorRT RTX cannot build NonZero `nz`",
        "TensorRT RTX does not support Neg `neg` of the domain `my`",
        "TensorRT RTX cannot import Foo `foo`",
    ]


def test_what_reads_values_of_unknown_shape_is_not_asked_about(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[3,4] x) => (float[3,4] y, float u) { a = my.Foo(x) [b] b = Relu(a) [c] y = Neg(b) [d] u = Det(x) }",
        domains=', "my": 1',
    )
    graph.infer_shapes()
    found = import_findings(graph, "tensorrt_rtx")
    assert [(each.severity, each.message) for each in found] == [
        ("error", "TensorRT RTX cannot import Foo of `a`"),
        ("error", "TensorRT RTX cannot import Det `d`"),
        ("warning", "Relu `b` and 1 more could not be checked: they read values whose shapes are not known"),
    ]


def test_a_model_that_can_be_imported(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[N,4] x) => (float[N,5] y) { y = MatMul(x, w) }", w=np.ones((4, 5), np.float32))
    graph.infer_shapes()
    assert diagnose(graph, "tensorrt_rtx") == []
    assert diagnose(graph, "tensorrt_rtx", ("sm75",))[0].reason == "sm75 GPUs have no float32 matrix product"


def test_an_output_declared_otherwise(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[3,4] x) => (float[3,4] y) { y = Relu(x) }")
    graph.infer_shapes()
    graph.outputs[0].shape = [3, 5]
    [found] = diagnose(graph, "tensorrt_rtx")
    assert found.message == (
        "the model declares the output `y` float32 [3, 5], but TensorRT RTX computes float32 [3, 4]"
    )


def test_a_node_is_named_once(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[3] x) => (int64[1,n] y) { [nz] y = NonZero(x) }")
    graph.infer_shapes()
    assert [each.message for each in diagnose(graph, "tensorrt_rtx")] == ["TensorRT RTX cannot build NonZero `nz`"]


def test_an_operator_that_only_the_importer_lacks(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[1,16,4] x) => (float[1,9,2,2] y) { [dft] y = DFT(x) }")
    graph.infer_shapes()
    [found] = diagnose(graph, "tensorrt_rtx")
    assert (found.message, found.reason) == ("TensorRT RTX cannot import DFT `dft`", "this operator is not supported")


def test_an_operator_that_the_library_rewrites(make_graph: GraphMaker) -> None:
    graph = make_graph(
        "g (float[2,8] x) => (float[2,4] y) { [cut] s = SplitToSequence<axis=1>(x, four) y = SequenceAt(s, zero) }",
        four=np.array(4),
        zero=np.array(0),
    )
    graph.infer_shapes()
    found = import_findings(graph, "tensorrt_rtx")
    assert found[0].message == "TensorRT RTX cannot import SplitToSequence `cut`"
    assert found[0].help == (
        'the rule library replaces it by Split when the parts have fixed sizes: `use "vggc:rules/all.opt"`, then '
        "`optimize`"
    )


def test_an_attention_without_a_kernel(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    graph = make_graph(
        "g (float[2,3,4,8] q, float[2,3,6,8] k, float[2,3,6,8] v) => (float[2,3,4,8] y) { y = Attention(q, k, v) }",
        opset=23,
    )
    with pytest.raises(CompileError) as error:
        tensorrt_rtx(lower(graph), compute=["sm86"])
    assert render(error.value.diagnostics[0]) == (
        "error: TensorRT RTX cannot build Attention of `y`\n"
        " = note: there is no kernel for float32\n"
        "help: compile it to float16, or write it as MatMul, Softmax and MatMul"
    )


# Every operator of ONNX's own tests that TensorRT RTX 1.7 refused in each of them, by what it says.
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("false", "this operator is not supported"),
        (
            'creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
            "this operator is not supported",
        ),
        (
            "Assertion failed: creator && getPluginCreatorVersion(creator) == CreatorVersion::kV3ONE: NonZero plugin "
            "creator was not found",
            "this operator is not supported",
        ),
        (
            "Assertion failed: plugin != nullptr: ROIAlign plugin was not found in the plugin registry!",
            "this operator is not supported",
        ),
        (
            "Assertion failed: input.is_weights(): frame_step must be an initializer!",
            "an input that must be constant",
        ),
        ("Shape Error (squeeze axis is not a constant In", "an input that must be constant"),
        ('Assertion failed: convertDtype(onnxDtype.elem_type(), &trtDtype) && "Failed"', "a value has a type"),
        (
            "This version of TensorRT doesn't support mode than 1 outputs for LayerNormalization nodes!",
            "with one output",
        ),
    ],
)
def test_what_the_importers_words_mean(text: str, what: str) -> None:
    known = meaning(text)
    assert known is not None
    assert what in known[0]


def test_unknown_words_are_passed_on() -> None:
    assert meaning("Something new went wrong") is None


@pytest.mark.parametrize("opset", [26, 28])
def test_older_operators_in_a_newer_opset(make_graph: GraphMaker, lower: LoweringMaker, opset: int) -> None:
    graph = make_graph("g (float[1,3,4] x) => (float[1,3,4] y) { a = Relu(x) y = Add(a, a) }", opset=opset)
    assert "model.engine" in {each.path for each in tensorrt_rtx(lower(graph))}
