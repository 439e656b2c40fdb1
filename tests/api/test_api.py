"""`import vggc`: what it offers, what programs may give, what they get, and what is raised."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import pytest

import vggc
from vggc.api import results
from vggc.binding.modules import import_file

TESTS = Path(__file__).parents[1]
small_model = import_file(TESTS / "cli" / "conftest.py").small_model

FOLD = "simplify\nfold_batch_norm\ntarget onnx\n"
QUANTIZE = 'data calib = npz("missing.npz")\nquantize(int8, data=calib)\ntarget onnx\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with `model.onnx`."""
    monkeypatch.chdir(tmp_path)
    onnx.save(small_model(), "model.onnx")
    return tmp_path


def images(count: int = 16) -> Any:
    return np.random.default_rng(0).normal(size=(count, 3, 8, 8)).astype(np.float32)


def help_of(error: pytest.ExceptionInfo[vggc.CompileError]) -> str:
    return error.value.diagnostics[-1].help


# --- what there is


def test_the_public_names() -> None:
    assert vggc.__all__ == [
        "Check",
        "CompileError",
        "Dataset",
        "Diagnostic",
        "Graph",
        "Plan",
        "ProgressUpdate",
        "Report",
        "RequirementNotMet",
        "Result",
        "Search",
        "SearchTrial",
        "__version__",
        "check",
        "compile",
        "plan",
        "search",
    ]
    assert {each for each in vggc.__all__ if each not in dir(vggc)} == set()
    assert all(getattr(vggc, each) is not None for each in vggc.__all__)
    assert set(vggc.api.__all__) == set(vggc.__all__) - {"__version__"}


@pytest.mark.parametrize(
    ("name", "positional", "keywords"),
    [
        ("compile", "recipe model", "out set data verify progress inputs dynamic python"),
        ("check", "recipe model", "set data inputs dynamic python"),
        ("plan", "recipe model", "set data progress inputs dynamic python"),
        (
            "search",
            "recipe model",
            "out trials minutes seed sampler batch keep resume on resources "
            "set data verify progress inputs dynamic python",
        ),
    ],
)
def test_the_public_signatures(name: str, positional: str, keywords: str) -> None:
    parameters = inspect.signature(getattr(vggc, name)).parameters.values()
    assert [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD] == positional.split()
    assert [each.name for each in parameters if each.kind is each.KEYWORD_ONLY] == keywords.split()


def test_the_public_attributes() -> None:
    public = {each for each in dir(vggc.Result) if not each.startswith("_")}
    # Fields without defaults are no attributes of the class.
    assert public == {"artifacts", "model", "page"} and {*vggc.Result.__annotations__} == {"folder", "report"}
    assert {*vggc.Check.__annotations__} == {"warnings", "steps", "targets"}
    assert {*vggc.Plan.__annotations__} == {"report"}
    assert {each for each in dir(vggc.Search) if not each.startswith("_")} == {"best", "front", "page"}
    assert {*vggc.Search.__annotations__} == {"folder", "record"}
    assert [*vggc.SearchTrial.__annotations__] == ["number", "values", "objectives", "requirements", "recipe", "folder"]
    assert vggc.ProgressUpdate._fields == ("work", "step", "steps", "part", "done", "parts")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module `vggc` has no attribute `compiel`"):
        _ = vggc.compiel


def test_importing_it_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import vggc; vggc.__version__; dir(vggc); "
        "new = set(sys.modules) - before; names = {each.split('.')[0] for each in new}; "
        "print('vggc.api' in new, sorted(names - sys.stdlib_module_names))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False ['vggc']\n"


# --- recipes and models


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_recipe_by_its_path(as_type: Any) -> None:
    Path("fold.opt").write_text(FOLD)
    result = vggc.compile(as_type("fold.opt"), as_type("model.onnx"))
    assert result.folder == Path("build/model-fold")
    assert result.report.recipe["path"] == "fold.opt"


def test_a_text_is_a_str_with_a_line_break() -> None:
    result = vggc.compile(FOLD.replace("\n", "\r\n"), "model.onnx")
    assert result.folder == Path("build/model-recipe")
    assert [each.line for each in result.report.steps] == ["recipe text:1", "recipe text:2"]
    assert result.report.recipe["text"] == FOLD
    with pytest.raises(vggc.CompileError, match="there is no recipe `simplify`"):
        vggc.check("simplify")


def test_a_recipe_that_comes_with_vggc() -> None:
    result = vggc.compile("vggc:onnx.opt", "model.onnx")
    assert result.folder == Path("build/model-onnx")
    assert result.report.steps[0].line.startswith("vggc:onnx.opt:")


def test_a_text_may_use_files_of_the_current_folder() -> None:
    Path("rules.opt").write_text("rule two_relus { Relu(r: Relu(x)) => Relu(x) like r }\n")
    assert vggc.check('use "rules.opt"\ntwo_relus\ntarget onnx\n', "model.onnx").steps == 1


def test_a_model_in_memory_gives_the_same_file() -> None:
    by_path = vggc.compile(FOLD, "model.onnx", out="by-path")
    in_memory = vggc.compile(FOLD, onnx.load("model.onnx"), out="in-memory")
    assert (in_memory.folder / "model.onnx").read_bytes() == (by_path.folder / "model.onnx").read_bytes()
    assert in_memory.report.model["path"] == "model in memory"
    assert vggc.plan(FOLD, onnx.load("model.onnx")).report.model["path"] == "model in memory"
    assert vggc.compile(FOLD, onnx.load("model.onnx")).folder == Path("build/model-recipe")


def test_what_is_no_model() -> None:
    with pytest.raises(vggc.CompileError, match="an object of type `dict` is not a model") as caught:
        vggc.compile(FOLD, {})
    assert "torch.nn.Module" in help_of(caught)
    with pytest.raises(vggc.CompileError, match="`inputs` and `dynamic` are for PyTorch modules"):
        vggc.compile(FOLD, "model.onnx", inputs=["x: 1x3x8x8"])


def test_a_module_stays_as_it_is() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch onnxscript safetensors")
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install torch onnxscript safetensors")
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()).train()
    result = vggc.compile(FOLD, module, inputs=["x: 1x3x8x8"], dynamic=["batch"])
    same = vggc.plan(FOLD, module, inputs={"input": np.zeros((1, 3, 8, 8), np.float32)}, dynamic=["batch"])
    assert same.report.steps[1].changes == {"fold BatchNormalization into Conv": 1}
    with pytest.raises(vggc.CompileError, match="the input `input` of the module is an object of type `int`"):
        vggc.plan(FOLD, module, inputs=[3])
    assert module.training
    assert [each.op_type for each in result.model.graph.node] == ["Conv", "Relu"]
    assert not result.report.warnings
    torch.nn.init.zeros_(module[0].weight)
    checked = vggc.check(FOLD, module, inputs=["x: 1x3x8x8"])
    assert "hardly depend on its inputs" in checked.warnings[0].message


# --- data and parameters


class Batches:
    """Gives dicts of arrays in every loop, like a DataLoader."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([{"x": images(8)}, {"x": images(8)}])


class Pairs:
    """Gives lists of an array and class numbers, like a DataLoader over images with classes."""

    def __iter__(self) -> Iterator[list[Any]]:
        return iter([[images(8), np.arange(8) % 4], [images(8), np.arange(8) % 4]])


@pytest.mark.parametrize(
    "given",
    [
        images(),
        {"x": images()},
        {"x": images(), "labels": np.zeros(16, int)},
        (images(), np.zeros(16, int)),
        Batches(),
        Pairs(),
        [images(8), images(8)],
    ],
)
def test_data_takes_the_place_of_a_statement(given: Any) -> None:
    with pytest.raises(vggc.CompileError, match=r"there is no file `missing\.npz`"):
        vggc.compile(QUANTIZE, "model.onnx")
    result = vggc.compile(QUANTIZE, "model.onnx", data={"calib": given})
    assert "QuantizeLinear" in {each.op_type for each in result.model.graph.node}
    assert result.report.fidelity is not None and "`calib`" in result.report.fidelity.inputs


def test_labels_beside_the_inputs_are_measured() -> None:
    recipe = "simplify\nrequire accuracy(test) >= 0%\ntarget onnx\n"
    assert vggc.check(recipe, "model.onnx", data={"test": Pairs()}).steps == 1
    assert vggc.check(recipe, "model.onnx", data={"test": (images(), np.zeros(16, int))}).steps == 1


def test_a_data_loader_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "vggc[torch]"')
    samples = torch.utils.data.TensorDataset(torch.from_numpy(images()), torch.arange(16) % 4)
    loader = torch.utils.data.DataLoader(samples, batch_size=5)
    recipe = "simplify\nrequire accuracy(test) >= 0%\ntarget onnx\n"
    result = vggc.compile(recipe, "model.onnx", data={"test": loader})
    assert result.report.requirements[0].outcome == "held"
    with pytest.raises(vggc.CompileError, match="is a DataLoader that shuffles"):
        vggc.check(recipe, data={"test": torch.utils.data.DataLoader(samples, batch_size=5, shuffle=True)})
    with pytest.raises(vggc.CompileError, match="object of type `TensorDataset`") as caught:
        vggc.check(recipe, data={"test": samples})
    assert help_of(caught).endswith("torch.utils.data.DataLoader(dataset, batch_size=32)")


def test_a_folder_of_images_is_prepared_for_the_model() -> None:
    from PIL import Image

    Path("photos").mkdir()
    for number in range(4):
        Image.new("RGB", (8, 8), (60 * number, 99, 9)).save(f"photos/{number}.png")
    checked = vggc.check("vggc:int8_cpu.opt", "model.onnx", set={"samples": "photos"})
    assert not [each for each in checked.warnings if "does not fit" in each.message]
    report = vggc.plan(
        'param s: loader = "a.npz"\ndata calib = s\nsimplify\n', "model.onnx", set={"s": "photos"}
    ).report
    assert report.recipe["parameters"]["s"].startswith('images("photos", size=8,')


def test_a_graph_can_be_rewritten_without_a_recipe() -> None:
    from vggc.passes.fold_batch_norm import fold_batch_norm

    graph = vggc.Graph.load("model.onnx")
    log = fold_batch_norm(graph)
    assert log.changes == {"fold BatchNormalization into Conv": 1}
    graph.tidy()
    graph.save("folded.onnx")
    assert "BatchNormalization" not in {each.op_type for each in onnx.load("folded.onnx").graph.node}


def test_the_parameters_of_a_replaced_statement_count_as_used() -> None:
    checked = vggc.check("vggc:int8_cpu.opt", "model.onnx", data={"calib": images(256)})
    assert not checked.warnings


def test_a_replaced_statement_is_checked() -> None:
    with pytest.raises(vggc.CompileError, match="unknown loader `npzz`"):
        vggc.check(QUANTIZE.replace("npz(", "npzz("), data={"calib": images()})


def test_data_beside_the_statements() -> None:
    recipe = "quantize(int8, data=calib)\nrequire accuracy(test) >= 0%\ntarget onnx\n"
    test = {"x": images(), "labels": np.arange(16) % 4}
    assert vggc.compile(recipe, "model.onnx", data={"calib": images(), "test": test}).report.requirements
    compared = vggc.compile(FOLD, "model.onnx", data={"mine": images()}).report.verification
    assert compared[0].inputs == "the first 8 samples of `mine`"


def test_one_dataset_under_two_names() -> None:
    class Noise(vggc.Dataset):
        name, description, labels = "noise", "noise", None

        def __init__(self) -> None:
            from vggc.data import SampleType

            self.arrays = {"x": SampleType(np.dtype(np.float32), (3, 8, 8))}

        def __len__(self) -> int:
            return 16

        def parts(self) -> Iterator[dict[str, Any]]:
            yield {"x": images()}

    noise = Noise()
    recipe = "quantize(int8, data=a)\nrequire agreement(b) >= 0%\ntarget onnx\n"
    assert vggc.compile(recipe, "model.onnx", data={"a": noise, "b": noise}).report.requirements
    assert noise.name == "noise"


@pytest.mark.parametrize(
    ("data", "message", "help"),
    [
        ({"calb": images()}, "the recipe uses no data `calb`", "a similar name exists: `calib`"),
        ({"calib": images(), "other": images()}, "the recipe uses no data `other`", "its data: `calib`"),
        ({"calib": images(), "simplify": images()}, "`simplify` is the name of a pass", "choose another name"),
        ({"calib": (images(), images())}, "has 2 arrays without names, and the last is not a class number", "masks"),
        ({"calib": [3]}, "data `calib` yields an object of type `int`", "give one array, a dict of arrays"),
        (
            {"calib": iter([])},
            "data `calib` cannot be made of an object of type `list_iterator`",
            "give one array, a dict of arrays",
        ),
        ({"calib": 3}, "data `calib` cannot be made of an object of type `int`", "such as a DataLoader"),
        ({"calib": {"x": "text"}}, "array `x` of data `calib` is", ""),
        ({"calib": images()[:, :2]}, "array `calib` of data `calib` does not fit the model's input `x`", ""),
    ],
)
def test_data_that_cannot_be_used(data: dict[str, Any], message: str, help: str) -> None:
    with pytest.raises(vggc.CompileError) as caught:
        vggc.check(QUANTIZE, "model.onnx", data=data)
    assert message in str(caught.value)
    assert help in "\n".join(each.help for each in caught.value.diagnostics)


def test_labels_that_are_missing() -> None:
    with pytest.raises(vggc.CompileError, match="label") as caught:
        vggc.check("require accuracy(test) >= 0%\ntarget onnx\n", "model.onnx", data={"test": images()})
    assert help_of(caught) == 'give the class numbers too: {"labels": numbers}'


@pytest.mark.parametrize(
    ("type_", "value"),
    [("ratio", "40%"), ("float", 0.5), ("int", 3), ("bool", True), ("string", "text"), ("list", [1, 2])],
)
def test_values_of_parameters(type_: str, value: Any) -> None:
    first = {"ratio": "1%", "float": "1.5", "int": "1", "bool": "false", "string": '"a"', "list": "[3]"}[type_]
    report = vggc.plan(f"param p: {type_} = {first}\nsimplify\n", "model.onnx", set={"p": value}).report
    assert report.recipe["parameters"] == {"p": 0.4 if value == "40%" else value}


def test_an_unknown_parameter() -> None:
    with pytest.raises(vggc.CompileError, match="the recipe has no parameter `q`"):
        vggc.check(FOLD, set={"q": 1})


# --- results and errors


def test_a_result() -> None:
    result = vggc.compile(FOLD, "model.onnx", out=Path("out"))
    assert result.artifacts == (Path("out/model.onnx"),)
    assert result.page == Path("out/report.html") and result.page.is_file()
    assert result.model is result.model
    assert "BatchNormalization" not in {each.op_type for each in result.model.graph.node}
    assert "fold_batch_norm  recipe text:2" in str(result) and str(result).endswith("report: out/report.html")
    html = result._repr_html_()
    assert html.startswith("<pre") and "fold_batch_norm" in html and "</pre>" in html
    assert repr(result) == "Result('out': model.onnx)"


def test_a_result_without_a_model() -> None:
    result = vggc.compile("simplify\n", "model.onnx")
    assert result.artifacts == () and repr(result).endswith("a report only)")
    with pytest.raises(vggc.CompileError, match="wrote no ONNX model"):
        _ = result.model


def test_a_plan_writes_nothing(folder: Path) -> None:
    plan = vggc.plan(FOLD, "model.onnx")
    assert [each.name for each in folder.iterdir()] == ["model.onnx"]
    assert "fold BatchNormalization into Conv" in str(plan) and "fold_batch_norm" in plan._repr_html_()
    assert repr(plan) == "Plan(2 steps)"


def test_a_check_gives_warnings() -> None:
    checked = vggc.check("param unused = 1\n" + FOLD)
    assert [each.message for each in checked.warnings] == ["parameter `unused` is never used"]
    assert (checked.steps, checked.targets) == (2, 1)
    assert vggc.plan("param unused = 1\n" + FOLD, "model.onnx").report.warnings == [
        "recipe text:1: parameter `unused` is never used"
    ]


def test_all_errors_are_raised_at_once_with_the_text_of_the_command_line() -> None:
    with pytest.raises(vggc.CompileError) as caught:
        vggc.compile("fold_batchnorm\nsimplify(\n", "model.onnx")
    assert [each.message for each in caught.value.diagnostics] == [
        "unknown pass `fold_batchnorm`",
        "`(` is never closed",
    ]
    (note,) = caught.value.__notes__
    assert " --> recipe text:1:1\n" in note and "help: a similar name exists: `fold_batch_norm`" in note


def test_a_requirement_that_is_not_met(folder: Path) -> None:
    with pytest.raises(vggc.RequirementNotMet) as caught:
        vggc.compile("simplify\nrequire size <= 1KiB\ntarget onnx\n", "model.onnx", out="out")
    assert isinstance(caught.value, vggc.CompileError) and caught.value.diagnostics[0].span.line == 2
    assert not (folder / "out").exists() and (folder / "out-failed" / "report.html").is_file()


def test_python_files_can_be_refused() -> None:
    Path("mine.py").write_text("raise SystemExit\n")
    with pytest.raises(vggc.CompileError, match=r"`mine\.py` is Python"):
        vggc.check('use "mine.py"\nsimplify\n', python=False)
    with pytest.raises(vggc.CompileError, match=r"importing `mine\.py` failed with SystemExit"):
        vggc.check('use "mine.py"\nsimplify\n')


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGC_PROGRESS", "lines")
    vggc.compile("param unused = 1\n" + FOLD, "model.onnx")
    vggc.plan(FOLD, "model.onnx")
    vggc.check(FOLD, "model.onnx")
    with pytest.raises(vggc.RequirementNotMet):
        vggc.compile("simplify\nrequire size <= 1KiB\ntarget onnx\n", "model.onnx", out="out")
    assert capfd.readouterr() == ("", "")


def test_progress_is_reported() -> None:
    updates: list[vggc.ProgressUpdate] = []
    vggc.compile(FOLD, "model.onnx", progress=updates.append)
    begun = [each for each in updates if not each.part]
    assert begun[0] == vggc.ProgressUpdate("reading the model")
    assert [each[:3] for each in begun if each.step] == [("simplify", 1, 2), ("fold_batch_norm", 2, 2)]
    quantizing: list[vggc.ProgressUpdate] = []
    vggc.plan(QUANTIZE, "model.onnx", data={"calib": images()}, progress=quantizing.append)
    parts = [each for each in quantizing if each.part]
    assert parts and {each.work for each in parts} == {"quantize"}
    assert any(each.done < each.parts for each in parts)


def test_it_runs_in_a_thread() -> None:
    found: list[vggc.Result] = []
    thread = Thread(target=lambda: found.append(vggc.compile(FOLD, "model.onnx")))
    thread.start()
    thread.join()
    assert isinstance(found[0], results.Result)
