"""Whatever a recipe says, binding gives a pipeline or diagnostics."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as draw

from vggc.binding import bind
from vggc.binding.registry import Registry
from vggc.diagnostics import CompileError, render
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.pipeline.model import Pipeline

PASSES = ["simplify", "prune_channels", "quantize", "slim"]
WORDS = [
    "keep",
    "samples",
    "accuracy",
    "size",
    "original",
    "opset",
    "dynamic",
    "has",
    "entropy",
    "int8",
    "macs",
    "Conv",
]
NAMES = draw.sampled_from([*PASSES, *WORDS])
ATOMS = draw.one_of(
    NAMES,
    draw.sampled_from(
        ["1", "-2", "0", "0.5", "50%", "4GiB", "2ms", "9" * 30, "1e300", '"a"', '""', "true", "1..8", "[]", "{}"]
    ),
)
VALUES = draw.recursive(
    ATOMS,
    lambda inner: draw.one_of(
        draw.builds("({} {} {})".format, inner, draw.sampled_from(["+", "-", "*", "/", "of", "<", ">=", "=="]), inner),
        draw.builds("[{}, {}]".format, inner, inner),
        draw.builds("{{a: {}, b: {}}}".format, inner, inner),
        draw.builds("{}..{}".format, inner, inner),
        draw.builds("{}({}, data={})".format, NAMES, inner, inner),
        draw.builds("(not {} and {} or {})".format, inner, inner, inner),
    ),
    max_leaves=5,
)
STEPS = draw.one_of(
    draw.builds("{}".format, NAMES),
    draw.builds("{}({}, {}={})".format, NAMES, VALUES, NAMES, VALUES),
    draw.builds("require {} {} {} else rollback".format, VALUES, draw.sampled_from([">=", "==", "<"]), VALUES),
)
STATEMENTS = draw.one_of(
    STEPS,
    draw.builds("param {} = {} in {}..{}".format, NAMES, VALUES, ATOMS, ATOMS),
    draw.builds(
        "param {}: {} = {}".format, NAMES, draw.sampled_from(["int", "ratio", "names", "word", "range"]), VALUES
    ),
    draw.builds("data {} = npz({})".format, NAMES, VALUES),
    draw.builds("define {}({}) {{\n{}\n}}".format, NAMES, NAMES, STEPS),
    draw.builds("when {} {{\n{}\n}} else {{\n{}\n}}".format, VALUES, STEPS, STEPS),
    draw.builds("repeat {{\n{}\n}}".format, STEPS),
    draw.builds("target onnx({}={})".format, draw.sampled_from(["name", "external"]), VALUES),
)


@settings(max_examples=200)
@given(recipe=draw.lists(STATEMENTS, max_size=6).map("\n".join), override=ATOMS)
@example(recipe="param keep = 1\nsimplify", override="")
def test_binding_ends_in_a_pipeline_or_in_messages(vocabulary: Registry, recipe: str, override: str) -> None:
    try:
        result: Any = bind(parse(Source("recipe.opt", recipe)), overrides={"keep": override}, registry=vocabulary)
    except CompileError as error:
        assert all(render(each) for each in error.diagnostics)
        assert all(each.span for each in error.diagnostics)
    else:
        assert isinstance(result, Pipeline)
