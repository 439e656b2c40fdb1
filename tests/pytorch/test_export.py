"""Networks of PyTorch as ONNX models: what is kept, that they compute the same, and what is told when they cannot."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.diagnostics import Code, CompileError, render
from vggc.pytorch import Dynamic, ExportedModel, Request, export_model, parse_dynamic, parse_input

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch onnxscript safetensors")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install torch onnxscript safetensors")

NETS = Path(__file__).with_name("nets.py")
IMAGE = parse_input("x: 1x3x32x32")
BATCH = Dynamic("batch")


def exported(name: str, *dynamic: Dynamic, **more: Any) -> tuple[ExportedModel, onnx.ModelProto]:
    more = {"inputs": (IMAGE,), **more}
    made = export_model(Request(f"{NETS}:{name}", dynamic=dynamic, **more), Path("model.onnx"))
    return made, onnx.load("model.onnx")


def refused(name: str, *dynamic: Dynamic, **more: Any) -> str:
    with pytest.raises(CompileError) as caught:
        exported(name, *dynamic, **more)
    assert not list(Path().glob("*.onnx"))
    return "\n".join(render(each, code=True) for each in caught.value.diagnostics)


@pytest.mark.parametrize("dynamic", [(), (BATCH,)], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    ("name", "norms", "convs"),
    [("vgg11", 8, 8), ("vgg16", 13, 13), ("vgg19", 16, 16), ("resnet", 11, 11), ("mobilenet", 10, 10), ("vit", 0, 1)],
)
def test_networks(folder: Path, name: str, norms: int, convs: int, dynamic: tuple[Dynamic, ...]) -> None:
    made, model = exported(name, *dynamic)
    assert made.worst.error <= made.worst.tolerance == 1e-5
    assert made.runs == (6 if dynamic else 2) - 2 * bool(dynamic)
    onnx.checker.check_model(model, full_check=True)
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators == made.nodes
    assert (operators["BatchNormalization"], operators["Conv"]) == (norms, convs)
    assert not {"Dropout", "Identity", "Constant"} & operators.keys()
    (x,), (output,) = model.graph.input, model.graph.output
    assert (x.name, output.name) == ("x", "output")
    for value, sizes in ((x, [3, 32, 32]), (output, [5])):
        batch, *rest = value.type.tensor_type.shape.dim
        assert (batch.dim_param, batch.dim_value) == (("batch", 0) if dynamic else ("", 1))
        assert [each.dim_value for each in rest] == sizes


def test_it_computes_what_torch_computes(folder: Path) -> None:
    """Beside export_model's own comparison: other numbers, another batch, onnxruntime by itself."""
    import onnxruntime

    exported("vgg16", BATCH)
    x = np.random.default_rng(7).normal(size=(5, 3, 32, 32)).astype(np.float32)
    got = onnxruntime.InferenceSession("model.onnx").run(None, {"x": x})[0]
    nets: dict[str, Any] = {}
    exec(compile(NETS.read_text(), str(NETS), "exec"), nets)
    with torch.inference_mode():
        expected = nets["vgg16"]().eval()(torch.from_numpy(x)).numpy()
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
    # The images make a difference: it is not the biases of the last linear layer that are compared.
    assert expected.std(axis=0).max() > 0.05 * np.abs(expected).max()


def test_nodes_are_named_after_the_parts_of_the_module(folder: Path) -> None:
    _, model = exported("resnet")
    names = {node.name: node.op_type for node in model.graph.node}
    assert names["0"] == "Conv" and names["3.norm1"] == "BatchNormalization"
    assert {"3.Relu", "3.Relu_1", "3.Add", "7", "9"} <= names.keys()
    assert len(names) == len(model.graph.node)
    # The exporter notes paths of the machine it runs on.
    assert str(NETS.parent).encode() not in model.SerializeToString()
    assert not any(node.metadata_props for node in model.graph.node)


def test_inputs_of_other_types_and_several_outputs(folder: Path) -> None:
    inputs = (parse_input("ids: int64 2x6"), parse_input("mask: float32 2x6"))
    dynamic = (BATCH, parse_dynamic("length=ids:1,mask:1"))
    made, model = exported("text", *dynamic, inputs=inputs)
    assert [each.name for each in model.graph.output] == ["output_0", "output_1"]
    assert [[dim.dim_param for dim in each.type.tensor_type.shape.dim] for each in model.graph.input] == [
        ["batch", "length"]
    ] * 2
    assert made.runs == 8


def test_weights_are_loaded(folder: Path) -> None:
    import onnxruntime

    nets: dict[str, Any] = {}
    exec(compile(NETS.read_text(), str(NETS), "exec"), nets)
    other = nets["mobilenet"]()
    with torch.no_grad():
        for each in other.parameters():
            each.mul_(1.5)
    weights = other.state_dict()
    x = torch.ones(1, 3, 32, 32)
    expected = other.eval()(x).detach().numpy()
    torch.save(weights, "plain.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": each for name, each in weights.items()}}, "checkpoint.pt")
    torch.save({name: each for name, each in weights.items() if "num_batches" not in name}, "old.pt")
    for file in ("plain.pt", "checkpoint.pt", "old.pt"):
        exported("mobilenet", weights=Path(file))
        got = onnxruntime.InferenceSession("model.onnx").run(None, {"x": x.numpy()})[0]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_safetensors(folder: Path) -> None:
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="needs safetensors: pip install torch onnxscript safetensors"
    )
    nets: dict[str, Any] = {}
    exec(compile(NETS.read_text(), str(NETS), "exec"), nets)
    weights = {name: each * 2 for name, each in nets["vit"]().state_dict().items()}
    safetensors.save_file(weights, "vit.safetensors")
    _, model = exported("vit", weights=Path("vit.safetensors"))
    (bias,) = (onnx.numpy_helper.to_array(each) for each in model.graph.initializer if each.name == "head.bias")
    np.testing.assert_array_equal(bias, weights["head.bias"].numpy())
    Path("vit.safetensors").write_bytes(b"no such thing")
    assert refused_file("vit.safetensors", "vit").startswith("error: `vit.safetensors` is not a safetensors file")


def refused_file(weights: str, name: str = "mobilenet") -> str:
    Path("model.onnx").unlink(missing_ok=True)
    return refused(name, weights=Path(weights))


def test_weights_that_do_not_fit(folder: Path) -> None:
    nets: dict[str, Any] = {}
    exec(compile(NETS.read_text(), str(NETS), "exec"), nets)
    weights = nets["mobilenet"]().state_dict()
    torch.save({**{each: weights[each] for each in weights if each != "0.weight"}, "extra": torch.ones(2)}, "other.pt")
    assert refused_file("other.pt") == (
        "error: the weights in `other.pt` do not fit: the file does not contain `0.weight` of the module [VGGC703]\n"
        "error: the weights in `other.pt` do not fit: the module has no `extra` [VGGC703]\n"
        "help: the factory must build the module that the weights were trained with: the same widths, blocks and "
        "classes"
    )
    torch.save({**weights, "8.weight": torch.ones(7, 12)}, "shape.pt")
    assert "`8.weight` is [7, 12] in the file, but [5, 12] in the module" in refused_file("shape.pt")
    torch.save(nets["vgg11"]().state_dict(), "vgg.pt")
    told = refused_file("vgg.pt")
    assert re.search(r"the file does not contain `0.weight`, `1.weight`, .* and \d+ more of the module", told)
    assert "no name matches: these are the weights of another module" in told


def test_files_that_are_no_weights(folder: Path) -> None:
    assert refused_file("nowhere.pt") == "error: there is no weights file `nowhere.pt` [VGGC703]"
    Path("text.pt").write_text("hello")
    assert "`text.pt` cannot be read as weights" in refused_file("text.pt")
    torch.save(torch.nn.ReLU(), "module.pt")
    told = refused_file("module.pt")
    assert "write torch.save(module.state_dict(), FILE) instead" in told
    torch.save([1, 2], "list.pt")
    assert "`list.pt` contains a list, not weights" in refused_file("list.pt")
    torch.save({"epoch": 3}, "epoch.pt")
    assert "`epoch.pt` contains a dict with `epoch`, not weights" in refused_file("epoch.pt")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("vgg12", f"error: `{NETS}` has no `vgg12` [VGGC701]\nhelp: a similar name exists: `vgg19`"),
        ("number", f"`{NETS}:number` cannot be called: it has type int"),
        ("not_a_module", f"`{NETS}:not_a_module` returned a int, not a torch.nn.Module"),
        ("broken", "failed with RuntimeError: the settings file is missing"),
    ],
)
def test_factories_that_are_none(folder: Path, name: str, told: str) -> None:
    assert told in refused(name)


def test_a_module_itself_is_a_factory(folder: Path) -> None:
    assert exported("module")[0].nodes == {"Relu": 1}


def test_a_package_in_the_current_folder(folder: Path) -> None:
    (folder / "my_nets").mkdir()
    (folder / "my_nets" / "relu.py").write_text("from torch import nn\n\n\ndef make():\n    return nn.ReLU()\n")
    (folder / "my_nets" / "needy.py").write_text("import not_installed_here\n")
    (folder / "my_nets" / "wrong.py").write_text("def f(:\n")
    made = export_model(Request("my_nets.relu:make", (IMAGE,)), Path("model.onnx"))
    assert made.nodes == {"Relu": 1}
    Path("model.onnx").unlink()
    for factory, told in (
        ("my_nets.rely:make", "error: there is no module `my_nets.rely`"),
        ("our_nets.relu:make", "error: there is no module `our_nets`"),
        ("my_nets.needy:make", "error: importing `my_nets.needy` needs the module `not_installed_here`"),
        ("my_nets.wrong:make", "error: importing `my_nets.wrong` failed with SyntaxError"),
        ("nowhere.py:make", "error: there is no file `nowhere.py`"),
        ("no factory", "error: `no factory` is not a factory"),
    ):
        with pytest.raises(CompileError) as caught:
            export_model(Request(factory, (IMAGE,)), Path("model.onnx"))
        assert render(caught.value.diagnostics[0]).startswith(told)
        assert caught.value.diagnostics[0].code is Code.FACTORY


def test_an_operator_without_a_counterpart_is_named(folder: Path) -> None:
    told = refused("NoCounterpart")
    assert "error: the operator `prims.bessel_j0` has no counterpart in ONNX [VGGC704]" in told


def test_a_branch_on_numbers_is_told_with_its_line(folder: Path) -> None:
    line = 1 + NETS.read_text().splitlines().index("        return x if x.sum() > 0 else 2 * x")
    told = refused("Branching")
    assert "error: PyTorch's exporter cannot export this module" in told
    assert f"at: {NETS}:{line}\n" in told
    assert "use torch.where" in told


def test_a_model_that_differs_is_not_written(folder: Path) -> None:
    told = refused("Random")
    assert "the exported model does not compute what the module computes; nothing was written [VGGC705]" in told
    assert "forward may be random" in told


def test_inputs_that_forward_does_not_take(folder: Path) -> None:
    told = refused("vgg11", inputs=(parse_input("x: 1x4x32x32"),))
    assert "forward failed with RuntimeError" in told and "`x` float32[1, 4, 32, 32]" in told
    assert "one --input for each argument of forward" in told
    assert "forward failed with TypeError" in refused("vgg11", inputs=(IMAGE, parse_input("y: 1")))


def test_a_folder_that_is_not_there(folder: Path) -> None:
    with pytest.raises(CompileError, match="there is no folder `nowhere`"):
        export_model(Request(f"{NETS}:vgg11", (IMAGE,)), Path("nowhere/model.onnx"))
