"""`--input`, `--dynamic` and the name of a factory, as text; none of it needs PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vggc.diagnostics import CompileError, render
from vggc.pytorch import Dynamic, InputSpec, Request, export_model, is_factory, parse_dynamic, parse_input
from vggc.pytorch.inputs import axes, check_inputs, draw, sizes_of

X, Y = parse_input("x: 1x3x32x48"), parse_input("y: 4x32")


def told(error: CompileError) -> str:
    return "\n".join(render(each) for each in error.diagnostics)


def test_inputs() -> None:
    assert parse_input(" x:1 x 3x8 ") == InputSpec("x", "float32", (1, 3, 8))
    assert parse_input("ids: int64 1x128") == InputSpec("ids", "int64", (1, 128))
    assert parse_input("a.b:bool 7") == InputSpec("a.b", "bool", (7,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1x3x32x32", "`1x3x32x32` is not an input specification"),
        ("x: 1,3,32", "`x: 1,3,32` is not an input specification"),
        ("x: batchx3", "`x: batchx3` is not an input specification"),
        ("x: int46 1x3", "`int46` is not a type of an input"),
        ("x: 1x0x3", "the input `x` is empty"),
        ("x: 100000x100000", "the input `x` would take more than 1 GiB"),
    ],
)
def test_what_is_no_input(text: str, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse_input(text)
    assert message in told(caught.value) and "help: " in told(caught.value)


def test_dynamic_dimensions() -> None:
    assert parse_dynamic("batch") == Dynamic("batch")
    assert parse_dynamic("h = x:2, y:1") == Dynamic("h", (("x", 2), ("y", 1)))
    for text in ("", "a-b", "h=", "h=x", "h=x:y", "h=x:1,"):
        with pytest.raises(CompileError, match="is not a dynamic dimension"):
            parse_dynamic(text)


def test_axes() -> None:
    assert axes((X, Y), (Dynamic("n"),)) == {"x": {0: "n"}, "y": {0: "n"}}
    assert axes((X, Y), (Dynamic("h", (("x", 2), ("y", 1))),)) == {"x": {2: "h"}, "y": {1: "h"}}
    for each, message in (
        (Dynamic("h", (("z", 2),)), "there is no input `z`"),
        (Dynamic("h", (("y", 2),)), r"input `y` float32\[4, 32\] has no axis 2"),
    ):
        with pytest.raises(CompileError, match=message):
            axes((X, Y), (each,))
    with pytest.raises(CompileError, match="axis 0 of input `x` is dynamic twice: n and m"):
        axes((X,), (Dynamic("n"), Dynamic("m")))


def test_axes_of_one_name_have_one_size() -> None:
    assert sizes_of((X, Y), {"x": {2: "h"}, "y": {1: "h"}}) == {"h": 32}
    with pytest.raises(CompileError, match="the dynamic dimension `n` is 1 in one input, but 4 in `y`"):
        sizes_of((X, Y), {"x": {0: "n"}, "y": {0: "n"}})


def test_arrays() -> None:
    (x, ids) = draw((X, parse_input("ids: int64 1x5")), {"x": {0: "n", 3: "w"}, "ids": {}}, {"n": 2, "w": 9}, seed=0)
    assert (x.shape, x.dtype, ids.shape, ids.dtype) == ((2, 3, 32, 9), "float32", (1, 5), "int64")
    assert set(ids.flat) <= {0, 1}
    (again, _) = draw((X, X), {"x": {}}, {}, seed=1)
    assert (again[..., :9] != x[:1]).any()


def test_no_input_and_two_of_a_name() -> None:
    with pytest.raises(CompileError, match="a PyTorch module does not declare its inputs"):
        check_inputs(())
    with pytest.raises(CompileError, match="the input `x` is given twice"):
        check_inputs((X, X))


def test_names_of_factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_factory("nets:vgg") and is_factory("a.b.c:vgg16") and is_factory("some folder/nets.py:vgg")
    assert not any(map(is_factory, ("model.onnx", "C:\\model.onnx", "folder/model", "a:b:c", "nets:", "a-b:c")))
    (tmp_path / "nets:vgg").touch()
    assert not is_factory("nets:vgg")


@pytest.mark.parametrize("missing", ["torch", "onnxscript"])
def test_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "torch":
        monkeypatch.setitem(sys.modules, "onnxscript", sys)
    with pytest.raises(CompileError) as caught:
        export_model(Request("nets:vgg", (X,)), tmp_path / "model.onnx")
    assert told(caught.value) == (
        f"error: exporting needs `{missing}`, which is not installed\nhelp: pip install torch onnxscript safetensors"
    )
