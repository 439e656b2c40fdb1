"""`vggc new` and `vggc optimize`: what they find in a model and a folder, and the recipes that they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from vggc.authoring import GOALS, Runtime, data_source
from vggc.authoring.preparation import guessed_images
from vggc.binding.modules import import_file
from vggc.cli import authoring_commands
from vggc.data.images import ImageFolder, image_files
from vggc.data.preparation import Preparation
from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph

Ran = Any
vggc = import_file(Path(__file__).parents[1] / "cli" / "conftest.py").vggc

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def photos(folder: Path, count: int = 24, classes: int = 4, size: tuple[int, int] = (20, 16)) -> Path:
    """Smooth coloured pictures, so many in each class folder in turn."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (3, 3, 3), np.uint8))
        path = folder / f"class{number % classes}" / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize(size, Image.Resampling.BILINEAR).save(path, quality=95)
    return folder


def classifier(
    folder: Path, preparation: Preparation, shape: tuple[Any, ...] = ("N", 3, 8, 8), classes: int = 4
) -> onnx.ModelProto:
    """Convolution, batch norm, pooling and logits; the batch norm has the statistics of the prepared images."""
    random = np.random.default_rng(0)
    planes = 3 if preparation.channels != "gray" else 1
    weight = random.normal(size=(32, planes, 3, 3)).astype(np.float32)
    first = [helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[3, 3])]
    takes = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]

    def model(nodes: Any, gives: Any, *weights: Any) -> onnx.ModelProto:
        proto = helper.make_graph(nodes, "net", takes, [gives], [numpy_helper.from_array(weight, "w"), *weights])
        return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    gives = helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, ["N", 32, None, None])
    start = Graph.from_model(model(first, gives))
    data = ImageFolder(image_files(folder), None, preparation, "photos")
    values = Session(start).run({"x": next(data.batches(len(data)))["images"]})["c"]
    statistics = {"mean": values.mean((0, 2, 3)), "var": values.var((0, 2, 3))}
    norm = {"scale": np.ones(32, np.float32), "shift": np.zeros(32, np.float32), **statistics}
    head = random.normal(size=(classes, 32)).astype(np.float32)
    nodes = [
        *first,
        helper.make_node("BatchNormalization", ["c", *norm], ["n"], "norm"),
        helper.make_node("Relu", ["n"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "h"], ["logits"], "head", transB=1),
    ]
    gives = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", classes])
    return model(nodes, gives, *(numpy_helper.from_array(array, name) for name, array in {**norm, "h": head}.items()))


def prepared(mean: Any = 0.0, std: Any = 1.0, scale: float = 1 / 255, **options: Any) -> Preparation:
    planes = 1 if options.get("channels") == "gray" else 3
    means, stds = ((each,) * planes if isinstance(each, float) else each for each in (mean, std))
    chosen = {"layout": "nchw", "channels": "rgb", "crop": (8, 8), "cover": True, **options}
    return Preparation(resize=None, scale=scale, mean=means, std=stds, **chosen)  # type: ignore[arg-type]


def guesses(model: onnx.ModelProto, folder: Path) -> dict[str, Any]:
    graph = Graph.from_model(model)
    graph.infer_shapes()
    return {each.name: each.value for each in guessed_images(graph, folder)}


@pytest.mark.parametrize(
    ("preparation", "found"),
    [
        (prepared(*IMAGENET), {"mean": list(IMAGENET[0]), "std": list(IMAGENET[1])}),
        (prepared(0.5, 0.5), {"mean": 0.5, "std": 0.5}),
        (prepared(), {"scale": "1 / 255"}),
        (prepared(scale=1.0), {"scale": 1.0}),
        (prepared((123.675, 116.28, 103.53), scale=1.0), {"scale": 1.0, "mean": [123.675, 116.28, 103.53]}),
        (prepared(0.1307, 0.3081, channels="gray"), {"channels": "gray", "mean": 0.1307, "std": 0.3081}),
    ],
)
def test_the_first_batch_norm_shows_the_preparation(tmp_path: Path, preparation: Preparation, found: Any) -> None:
    folder = photos(tmp_path / "photos")
    planes = 1 if preparation.channels == "gray" else 3
    model = classifier(folder, preparation, ("N", planes, 8, 8))
    assert guesses(model, folder) == {"size": 8, **found, "labels": "folders"}


def test_sizes_and_layouts(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    wide = classifier(folder, prepared(crop=(8, 12)), ("N", 3, 8, 12))
    assert guesses(wide, folder)["size"] == [8, 12]
    free = classifier(folder, prepared(), ("N", 3, "H", "W"))
    assert guesses(free, folder)["size"] == [16, 20]
    Image.new("RGB", (30, 30)).save(folder / "class0" / "000.jpg")
    assert guesses(free, folder)["size"] == 224
    last = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (uint8[N,8,8,3] x) => (uint8[N,8,8,3] y) { y = Identity(x) }'
    )
    assert guesses(last, folder) == {"size": 8, "layout": "nhwc", "scale": 1.0}


@pytest.mark.parametrize("batch", [1, 5, 40])
def test_models_with_a_fixed_batch(tmp_path: Path, batch: int) -> None:
    folder = photos(tmp_path / "photos")
    model = classifier(folder, prepared(*IMAGENET))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    found = guesses(model, folder)
    assert found["mean"] == list(IMAGENET[0])


def test_a_batch_norm_that_reads_the_input_itself(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,8,8] x) => (float[N,3,8,8] y)
        <float[3] one = {1, 1, 1}, float[3] zero = {0, 0, 0},
         float[3] mean = {120, 120, 120}, float[3] var = {4000, 4000, 4000}>
        { y = BatchNormalization(x, one, zero, mean, var) }"""
    model = onnx.parser.parse_model(text)
    assert guesses(model, folder)["scale"] == 1.0


def test_whole_images_for_yolo(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 4)
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1,3,64,64] x) => (float[1,6,2048] y)
        <int64[3] shape = {1, 6, 2048}> { y = Reshape(x, shape) }"""
    found = guesses(onnx.parser.parse_model(text), folder)
    assert (found["size"], found["pad"], found["scale"]) == (64, 114, "1 / 255")


def test_labels_only_when_the_classes_are_as_many(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    assert "labels" not in guesses(classifier(folder, prepared(), classes=5), folder)
    Image.new("RGB", (20, 16)).save(folder / "top.jpg")
    assert "labels" not in guesses(classifier(folder, prepared()), folder)


def test_of_many_images_some_are_taken_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggc.authoring.preparation._ENOUGH", 8)
    folder = photos(tmp_path / "photos")
    found = guesses(classifier(folder, prepared()), folder)
    assert (found["every"], found["limit"]) == (3, 8)


@pytest.mark.parametrize(
    ("takes", "message"),
    [
        ("float[N,3,8,8] x, float[N] y", "a folder of images fits a model with one input, but this one has: `x`"),
        ("float[N,16] x", "the model's input `x` float32 [N, 16] does not look like images"),
        ("float[N,8,8,8] x", "does not look like images: four axes, with 1 or 3 channels"),
    ],
)
def test_models_that_take_no_images(tmp_path: Path, takes: str, message: str) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17]> g ({takes}) => (float[N] z) {{ z = Relu(x) }}'
    with pytest.raises(CompileError) as caught:
        guesses(onnx.parser.parse_model(text), photos(tmp_path / "photos", 2))
    assert message in str(caught.value)


def test_arrays_with_labels(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 8)
    graph = Graph.from_model(classifier(folder, prepared()))
    graph.infer_shapes()
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 3, 8, 8), np.float32), y=np.zeros(4, int))
    source = data_source(graph, tmp_path / "a.npz", tmp_path)
    assert source.call == f'npz("{tmp_path}/a.npz", label="y", inputs={{"x": "images"}})' and source.labelled
    np.savez(tmp_path / "b.npz", x=np.zeros((4, 3, 8, 8), np.float32))
    assert data_source(graph, tmp_path / "b.npz", tmp_path).guesses == ()
    with pytest.raises(CompileError, match="neither a folder of images nor a file of arrays"):
        data_source(graph, Path(__file__), tmp_path)
    with pytest.raises(CompileError, match="there is no file or folder"):
        data_source(graph, tmp_path / "c.npz", tmp_path)


# --- the commands


@pytest.fixture
def folder(vggc: Ran) -> Path:
    """The current folder with the photos and a model for them."""
    onnx.save(classifier(photos(Path("photos")), prepared(*IMAGENET)), "model.onnx")
    return Path()


def test_new_writes_a_recipe_that_works(vggc: Ran, folder: Path) -> None:
    ran = vggc("new", "int8", "--data", "photos", "-o", "my.opt")
    assert ran.status == 0 and ran.out == "wrote my.opt\n"
    assert ran.err.endswith(
        "look at the data:  vggc data my.opt model.onnx\ncompile:           vggc my.opt model.onnx\n"
    )
    text = Path("my.opt").read_text()
    assert "    # Found: the model's input is `x` float32 [N, 3, 8, 8].\n    size=8,\n" in text
    assert "mean=[0.485, 0.456, 0.406],\n    std=[0.229, 0.224, 0.225],\n" in text
    assert max(map(len, text.splitlines())) <= 120
    assert vggc("fmt", "--check", "my.opt").status == 0
    ran = vggc("my.opt", "model.onnx")
    assert ran.status in (0, 3) and "accuracy(calib) >= original - 2%" in ran.out


def test_the_command_offers_all_goals_and_runtimes() -> None:
    assert tuple(GOALS) == authoring_commands._GOALS
    assert get_args(Runtime) == authoring_commands._RUNTIMES


@pytest.mark.parametrize("goal", ["optimize", "fp16", "int8_fp16", "prune", "prune_int8"])
def test_every_goal_gives_a_recipe_without_errors(vggc: Ran, folder: Path, goal: str) -> None:
    data = () if goal == "optimize" else ("--data", "photos")
    assert vggc("new", goal, *data).status == 0
    assert vggc("check", f"model-{goal}.opt", "model.onnx").status == 0
    assert vggc("fmt", "--check", f"model-{goal}.opt").status == 0


def test_paths_are_relative_to_the_recipe(vggc: Ran, folder: Path) -> None:
    Path("recipes").mkdir()
    assert vggc("new", "int8", "--data", "photos", "-o", "recipes/my.opt").status == 0
    assert '"../photos",' in Path("recipes/my.opt").read_text()
    assert vggc("check", "recipes/my.opt", "model.onnx").status == 0


def test_optimize_prints_the_recipe_and_compiles(vggc: Ran, folder: Path) -> None:
    ran = vggc("optimize", "model.onnx", "--fp16", "--data", "photos", "-o", "out")
    assert ran.status in (0, 3) and "cast(fp16, data=calib)\n" in ran.out
    ran = vggc("optimize", "model.onnx")
    assert ran.status == 0 and Path("build/model-optimized/model.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "message", "help"),
    [
        (("new", "int8"), "so it needs samples", "give a few hundred samples: --data FOLDER of images"),
        (("new", "optimize", "--data", "photos"), "exact optimizations use no samples", "leave out --data"),
        (("new", "int8", "--data", "photo"), "there is no file or folder `photo`", "name a folder of images"),
        (("new", "int8", "--data", "photos", "-o", "my.txt"), "`my.txt` is not the name of a recipe", "`my.txt.opt`"),
        (("new", "int8", "--data", "photos", "-o", "old.opt"), "`old.opt` exists", "name another file: -o FILE"),
        (("optimize", "model.onnx", "--prune", "50%"), "so it needs samples", "--data FILE.npz"),
    ],
)
def test_what_they_refuse(vggc: Ran, folder: Path, words: Any, message: str, help: str) -> None:
    Path("old.opt").write_text("simplify\n")
    ran = vggc(*words)
    assert ran.status == 1 and message in ran.err and help in ran.err


def test_the_model_is_the_only_one_of_the_folder(vggc: Ran, folder: Path) -> None:
    Path("second.onnx").write_bytes(Path("model.onnx").read_bytes())
    ran = vggc("new", "optimize")
    assert ran.status == 1 and "the current folder has 2 ONNX files: `model.onnx`, `second.onnx`" in ran.err
    Path("second.onnx").unlink()
    Path("model.onnx").unlink()
    assert "there is no ONNX file in the current folder" in vggc("new", "optimize").err


def test_a_wrong_share(vggc: Ran, folder: Path) -> None:
    ran = vggc("optimize", "model.onnx", "--prune", "half", "--data", "photos")
    assert ran.status == 2 and "--prune takes a share from 1% to 99%, not `half`" in ran.err


# --- `--set samples=` of the ready recipes


@pytest.mark.parametrize("samples", ["photos", "a.npz", 'images("photos", size=8, limit=8)', '"a.npz"', "x.npy"])
def test_ready_recipes_take_folders_files_and_calls(vggc: Ran, folder: Path, samples: str) -> None:
    arrays = np.random.default_rng(0).normal(size=(16, 3, 8, 8)).astype(np.float32)
    np.savez("a.npz", x=arrays)
    np.save("x.npy", arrays)
    ran = vggc("check", "vggc:int8_cpu.opt", "model.onnx", "--set", f"samples={samples}")
    assert ran.status == 0, ran.err
    if samples == "photos":
        assert ran.err.startswith('note: samples = images("photos", size=8, mean=[0.485, 0.456, 0.406]')


def test_the_report_has_the_prepared_call(vggc: Ran, folder: Path) -> None:
    ran = vggc("vggc:fp16_tensorrt.opt", "model.onnx", "--set", "samples=missing")
    assert ran.status == 1 and "there is no folder `missing`" in ran.err and "--set samples=missing" in ran.err
    Path("r.opt").write_text('param s: loader = "a.npz"\ndata calib = s\nsimplify\ntarget onnx\n')
    assert vggc("r.opt", "model.onnx", "--set", "s=photos", "-o", "out").status == 0
    assert 'images(\\"photos\\", size=8, mean=[0.485' in Path("out/report.json").read_text()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('param s = "a.npz"\ndata calib = s\nsimplify\n', '`s` is the text `"a.npz"`, not a loader'),
        ("param s: loader = 3\ndata calib = s\nsimplify\n", "`s` must be a loader or a path, not `3`"),
        ('param s: loader = npz("a.npz")\nquantize(int8, data=s)\n', "must be the name of a `data` statement"),
        ('param s = npzz("a.npz")\ndata calib = s\nsimplify\n', "unknown loader `npzz`"),
    ],
)
def test_parameters_that_are_no_loaders(vggc: Ran, folder: Path, recipe: str, message: str) -> None:
    Path("r.opt").write_text(recipe)
    ran = vggc("check", "r.opt")
    assert ran.status == 1 and message in ran.err
