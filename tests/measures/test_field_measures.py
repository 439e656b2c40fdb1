"""Measures of the field, compared with its libraries or with numbers worked out by hand, and what they refuse."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper, parser
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score

from vggc.data import ArrayDataset, Dataset
from vggc.data.loaders import images, npz
from vggc.diagnostics import Code, CompileError
from vggc.graph import Graph
from vggc.measures import Subject
from vggc.measures.class_balance import f1
from vggc.measures.detection import map50, map50_95, suppressed
from vggc.measures.image_quality import psnr, ssim
from vggc.measures.segmentation import mean_iou
from vggc.measures.transcription import character_accuracy, edit_distance, word_accuracy

RANDOM = np.random.default_rng(0)


def model(declared: str, ops: str = "y = Identity(x)", **weights: Any) -> Subject:
    found = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\ng {declared} {{ {ops} }}')
    found.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    graph = Graph.from_model(found)
    graph.infer_shapes()
    return Subject(graph)


def data(labels: Any = None, **arrays: Any) -> Dataset:
    numbers = None if labels is None else np.array(labels, np.int64)
    found = ArrayDataset({name: np.asarray(each) for name, each in arrays.items()}, numbers, "arrays")
    found.name = "test"
    return found


# --- f1


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_is_that_of_scikit_learn(average: Any) -> None:
    logits = RANDOM.normal(size=(50, 6)).astype(np.float32)
    labels = RANDOM.integers(0, 4, 50)
    found = f1(model("(float[N,6] x) => (float[N,6] y)"), data=data(labels, x=logits), average=average)
    assert found == pytest.approx(f1_score(labels, logits.argmax(1), average=average))


def test_f1_of_a_row_with_nan_is_wrong() -> None:
    logits = np.array([[1, 0], [-1, 0]], np.float32)
    root = model("(float[N,2] x) => (float[N,2] y)", "y = Sqrt(x)")
    assert f1(root, data=data([0, 0], x=logits), average="micro") == 0.5


# --- segmentation


@pytest.mark.parametrize("batch", ["N", "2"])
def test_mean_iou_is_that_of_scikit_learn(batch: str) -> None:
    scores = RANDOM.normal(size=(5, 4, 6, 7)).astype(np.float32)
    masks = RANDOM.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    masks[0] = 255
    subject = model(f"(float[{batch},4,6,7] x) => (float[{batch},4,6,7] y)")
    found = mean_iou(subject, data=data(x=scores, masks=masks))
    counted = masks != 255
    expected = jaccard_score(masks[counted], scores.argmax(1)[counted], average="macro")
    assert found == pytest.approx(expected)


def test_mean_iou_of_classes_as_output() -> None:
    truth = np.array([[[0, 1], [1, 1]]])
    subject = model("(int64[N,2,2] x) => (int64[N,2,2] y)")
    assert mean_iou(subject, data=data(x=[[[0, 1], [1, 0]]], masks=truth)) == pytest.approx((1 / 2 + 2 / 3) / 2)
    # A class that is in neither does not count; one that only the model has, does.
    assert mean_iou(subject, data=data(x=[[[0, 5], [1, 1]]], masks=truth)) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_masks_of_another_size() -> None:
    subject = model("(float[N,2,4,4] x) => (float[N,2,4,4] y)")
    with pytest.raises(CompileError, match=r"classes of shape \[1, 4, 4\], but the masks have shape \[1, 2, 2\]"):
        mean_iou(subject, data=data(x=np.zeros((1, 2, 4, 4), np.float32), masks=np.zeros((1, 2, 2), int)))
    with pytest.raises(CompileError, match="have only pixels of the class 255"):
        mean_iou(subject, data=data(x=np.zeros((1, 2, 4, 4), np.float32), masks=np.full((1, 4, 4), 255)))
    with pytest.raises(CompileError, match="has no array `mask`") as caught:
        mean_iou(subject, data=data(x=np.zeros((1, 2, 4, 4), np.float32), masks=np.zeros((1, 4, 4))), masks="mask")
    assert caught.value.diagnostics[0].help == "a similar name exists: `masks`"


# --- detection


def truth(*images: Any) -> Any:
    rows = np.full((len(images), max(map(len, images)), 6), -1, np.float32)
    for number, boxes in enumerate(images):
        rows[number, : len(boxes), :5] = boxes
        rows[number, : len(boxes), 5] = 0
    return rows


TRUTH = truth([[0, 0, 10, 10, 0], [20, 20, 40, 40, 1]], [[5, 5, 15, 25, 0]])


@pytest.fixture
def pycocotools() -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools: pip install pycocotools")


def detections(*images: Any) -> Any:
    """The output [samples, boxes, 6] with the rows of each image, and empty ones behind them."""
    rows = np.zeros((len(images), 4, 6), np.float32)
    for number, boxes in enumerate(images):
        if boxes:
            rows[number, : len(boxes)] = boxes
    return rows


LIST = "(float[N,M,6] x) => (float[N,M,6] y)"


@pytest.mark.usefixtures("pycocotools")
def test_map_of_perfect_and_of_missing_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    subject = model(LIST)
    right = [[0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.8, 1]], [[5, 5, 15, 25, 0.7, 0]]
    perfect = data(x=detections(*right), boxes=TRUTH)
    assert map50(subject, data=perfect) == pytest.approx(1)
    assert map50_95(subject, data=perfect) == pytest.approx(1)
    # Of class 0 one of two boxes is found: precision 1 up to a recall of a half, 51 of the 101 points.
    half = data(x=detections(right[0], []), boxes=TRUTH)
    assert map50(subject, data=half) == pytest.approx((51 / 101 + 1) / 2)
    assert map50(subject, data=data(x=detections([], []), boxes=TRUTH)) == 0
    # 8 of 10 pixels in each direction: an overlap of 0.64, which counts from 50 to 60 percent.
    small = [[0, 0, 8, 8, 0.9, 0], [20, 20, 36, 36, 0.8, 1]], [[5, 5, 13, 21, 0.7, 0]]
    assert map50_95(subject, data=data(x=detections(*small), boxes=TRUTH)) == pytest.approx(0.3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("pycocotools")
def test_map_of_yolo_and_of_separate_outputs() -> None:
    # Middle and size; scores of two classes; the second place is the first box again, with a lower score.
    places = np.zeros((2, 6, 8), np.float32)
    places[0, :, 0] = [5, 5, 10, 10, 0.9, 0]
    places[0, :, 1] = [5, 5, 10, 9, 0.8, 0]
    places[0, :, 2] = [30, 30, 20, 20, 0, 0.7]
    places[1, :, 0] = [10, 15, 10, 20, 0.6, 0]
    subject = model("(float[N,6,8] x) => (float[N,6,8] y)")
    assert map50_95(subject, data=data(x=places, boxes=TRUTH)) == pytest.approx(1)
    assert map50(subject, data=data(x=places, boxes=TRUTH), overlap=1.0) < 1
    several = model(
        "(float[N,2,4] b, float[N,2] s, int64[N,2] c) => (float[N,2,4] boxes, float[N,2] scores, int64[N,2] classes)",
        "boxes = Identity(b) scores = Identity(s) classes = Identity(c)",
    )
    corners = np.array([[[0, 0, 10, 10], [20, 20, 40, 40]], [[5, 5, 15, 25], [0, 0, 0, 0]]], np.float32)
    given = data(b=corners, s=np.array([[0.9, 0.8], [0.7, 0]], np.float32), c=[[0, 1], [0, 0]], boxes=TRUTH)
    assert map50(several, data=given, output="boxes", scores="scores", classes="classes") == pytest.approx(1)
    with pytest.raises(CompileError, match="`scores` and `classes` name two outputs"):
        map50(several, data=given, scores="scores")


@pytest.mark.usefixtures("pycocotools")
def test_what_map_refuses() -> None:
    subject = model("(float[N,3,4] x) => (float[N,3,4] y)")
    with pytest.raises(CompileError, match="map50 reads"):
        map50(subject, data=data(x=np.zeros((2, 3, 4), np.float32), boxes=TRUTH))
    with pytest.raises(CompileError, match="has no boxes in any of its images"):
        map50(model(LIST), data=data(x=detections([], []), boxes=np.full((2, 1, 6), -1)))


def test_map_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.sys.modules, "pycocotools.coco", None)  # type: ignore[attr-defined]
    with pytest.raises(CompileError, match="needs the package pycocotools") as caught:
        map50(model(LIST), data=data(x=detections([], []), boxes=TRUTH))
    assert caught.value.diagnostics[0].help.endswith("pip install pycocotools")


def test_duplicates_are_removed_by_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [50, 50, 60, 60]], float)
    assert suppressed(boxes, np.array([0, 0, 1, 0]), 0.5).tolist() == [0, 2, 3]


@pytest.mark.usefixtures("pycocotools")
def test_a_detector_is_compiled_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe with COCO boxes: a model that finds the same box in every image, which one of two images has."""
    import vggc

    monkeypatch.chdir(tmp_path)
    Path("street").mkdir()
    for number in range(2):
        Image.new("RGB", (40, 20), (99, 99, 99)).save(f"street/{number}.png")
    row = {"image_id": 0, "category_id": 1, "bbox": [10, 0, 20, 10]}
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(2)]
    coco = {"images": images, "categories": [{"id": 1, "name": "car"}], "annotations": [row]}
    Path("coco.json").write_text(json.dumps(coco))
    found = parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[1,3,40,40] x) => (float[1,1,6] boxes)
        <float[1,1,6] box = {10, 10, 30, 20, 0.9, 0}, float zero = {0}>
        { m = ReduceMean<keepdims = 0>(x) n = Mul(m, zero) boxes = Add(box, n) }"""
    )
    recipe = 'data street = images("street", size=40, pad=114, boxes="coco.json")\nsimplify\n'
    recipe += "require map50_95(street) >= original - 1%\ntarget onnx\n"
    result = vggc.compile(recipe, found, out="out")
    # The box is right in the first image and wrong in the second, which has no car: precision 1 up to a recall of 1.
    assert [(each.measured, each.outcome) for each in result.report.requirements] == [("100.00%", "held")]
    worse = recipe.replace(">= original - 1%", ">= 100%").replace("size=40", "size=[40, 80]")
    with pytest.raises(vggc.CompileError, match="does not fit the model's input"):
        vggc.compile(worse, found, out="worse")


# --- images


def test_psnr_and_ssim() -> None:
    true = RANDOM.uniform(size=(3, 1, 16, 16)).astype(np.float32)
    subject = model("(float[N,1,16,16] x) => (float[N,1,16,16] y)")
    assert psnr(subject, data=data(x=true + np.float32(0.1), true=true), target="true") == pytest.approx(20, abs=1e-3)
    assert psnr(subject, data=data(x=true * 255 + 1, true=true * 255), target="true", peak=255.0) == pytest.approx(
        20 * math.log10(255), abs=1e-3
    )
    assert psnr(subject, data=data(x=true)) == math.inf
    assert ssim(subject, data=data(x=true)) == pytest.approx(1)
    assert ssim(subject, data=data(x=1 - true, true=true), target="true") < 0
    # Of images of one colour each only the term of brightness is left: (2 a b + c) / (a² + b² + c).
    flat = np.full((1, 1, 16, 16), 0.5, np.float32)
    expected = (2 * 0.5 * 0.75 + 1e-4) / (0.25 + 0.5625 + 1e-4)
    found = ssim(subject, data=data(x=flat * np.float32(1.5), true=flat), target="true")
    assert found == pytest.approx(expected, abs=1e-6)


def test_images_that_cannot_be_compared() -> None:
    small = model("(float[N,1,8,8] x) => (float[N,1,8,8] y)")
    x = np.zeros((2, 1, 8, 8), np.float32)
    with pytest.raises(CompileError, match="ssim needs at least 11 x 11 pixels"):
        ssim(small, data=data(x=x))
    with pytest.raises(CompileError, match=r"has shape \[2, 1, 8, 8\], but `true` \[2, 1, 4, 4\]"):
        psnr(small, data=data(x=x, true=x[:, :, ::2, ::2]), target="true")


# --- texts


def spelled(text: str, alphabet: str, steps: int) -> Any:
    """Logits that spell a text, each character in one step with a blank behind it."""
    logits = np.zeros((steps, len(alphabet) + 1), np.float32)
    logits[:, 0] = 0.5
    for at, character in enumerate(text):
        logits[2 * at, 1 + alphabet.index(character)] = 1
    return logits


def test_texts_are_read_greedily() -> None:
    alphabet = "abc"
    logits = np.stack([spelled("abba", alphabet, 9), spelled("cab", alphabet, 9), spelled("", alphabet, 9)])
    given = data(x=logits, texts=np.array(["abba", "cub", "a"]))
    subject = model("(float[N,9,4] x) => (float[N,9,4] y)")
    assert word_accuracy(subject, data=given, alphabet=alphabet) == pytest.approx(1 / 3)
    assert character_accuracy(subject, data=given, alphabet=alphabet) == pytest.approx(1 - 2 / 8)
    turned = model("(float[N,4,9] x) => (float[N,4,9] y)")
    given = data(x=logits.transpose(0, 2, 1), texts=np.array(["abba", "cab", ""]))
    assert word_accuracy(turned, data=given, alphabet=alphabet) == 1
    # Time first, as recurrent layers have it.
    steps_first = model("(float[N,9,4] x) => (float[9,N,4] y)", "y = Transpose<perm = [1, 0, 2]>(x)")
    given = data(x=logits, texts=np.array(["abba", "cab", ""]))
    assert word_accuracy(steps_first, data=given, alphabet=alphabet) == 1


def test_the_blank_may_be_the_last_class() -> None:
    classes = np.array([[2, 0, 0, 2, 0, 1]])
    subject = model("(int64[N,6] x) => (int64[N,6] y)")
    assert word_accuracy(subject, data=data(x=classes, texts=np.array(["aab"])), alphabet="ab", blank=2) == 1


def test_what_texts_refuse() -> None:
    subject = model("(float[N,9,4] x) => (float[N,9,4] y)")
    given = data(x=np.zeros((1, 9, 4), np.float32), texts=np.array([""]))
    with pytest.raises(CompileError, match="but the alphabet and a blank are 5 classes"):
        word_accuracy(subject, data=given, alphabet="abcd")
    with pytest.raises(CompileError, match="`alphabet` must have each character once"):
        word_accuracy(subject, data=given, alphabet="aab")
    with pytest.raises(CompileError, match="the texts of data `test` are all empty"):
        character_accuracy(subject, data=given, alphabet="abc")


@pytest.mark.parametrize(("one", "other", "edits"), [("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ab", 0)])
def test_edit_distance(one: str, other: str, edits: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == edits


# --- what images and arrays bring with them


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, size in enumerate([(40, 20), (20, 40)]):
        Image.fromarray(RANDOM.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(
            tmp_path / f"photos/{number}.png"
        )
    return tmp_path


def boxes_of(dataset: Dataset) -> list[list[list[float]]]:
    return [[row.tolist() for row in each if row[4] >= 0] for piece in dataset.extra("boxes") for each in piece]


COCO = {
    "images": [{"id": 7, "file_name": "0.png"}, {"id": 9, "file_name": "1.png"}],
    "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
    "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [10, 0, 20, 10], "iscrowd": 1},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 20]},
        {"image_id": 9, "category_id": 1, "bbox": [0, 10, 20, 20]},
    ],
}


def test_boxes_of_coco_follow_the_image(folder: Path) -> None:
    (folder / "coco.json").write_text(json.dumps(COCO))
    plain = images.load("test", folder, folder="photos", boxes=folder / "coco.json", resize=[20, 40])
    assert boxes_of(plain) == [[[10, 0, 30, 10, 1, 1], [0, 0, 5, 20, 0, 0]], [[0, 5, 40, 15, 0, 0]]]
    # The middle of 40 x 20 begins at 10, so that the cat of the first image lies outside.
    cut = images.load("test", folder, folder="photos", boxes=folder / "coco.json", size=20)
    assert boxes_of(cut) == [[[0, 0, 20, 10, 1, 1]], [[0, 0, 20, 20, 0, 0]]]
    padded = images.load("test", folder, folder="photos", boxes=folder / "coco.json", size=40, pad=114, scale=1.0)
    assert boxes_of(padded)[0] == [[10, 10, 30, 20, 1, 1], [0, 10, 5, 30, 0, 0]]
    picture = next(padded.batches(2))["images"]
    assert (picture[0, :, :10] == 114).all() and (picture[0, :, 30:] == 114).all()
    assert plain.sha256 != images.load("test", folder, folder="photos", resize=[20, 40]).sha256
    assert padded.extras["boxes"].shape == (2, 6)


def test_boxes_of_yolo(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels/0.txt").write_text("1 0.5 0.25 0.5 0.5\n")
    found = images.load("test", folder, folder="photos", boxes=folder / "labels", resize=[20, 40])
    assert boxes_of(found) == [[[10, 0, 30, 10, 1, 0]], []]
    for line, message in (("1 2 3", "is not a box"), ("0 40 20 10 10", "has a box outside of the image")):
        (folder / "labels/0.txt").write_text(line)
        with pytest.raises(CompileError, match=f"line 1 of .*0.txt` {message}"):
            images.load("test", folder, folder="photos", boxes=folder / "labels", size=20)


def test_boxes_that_do_not_belong_to_the_images(folder: Path) -> None:
    (folder / "coco.json").write_text(json.dumps(COCO | {"images": COCO["images"][:1], "annotations": []}))
    with pytest.raises(CompileError, match=r"does not have the image `1\.png`"):
        images.load("test", folder, folder="photos", boxes=folder / "coco.json", size=20)
    for text, message in (("{}", "`images` is missing"), ("[", "Expecting value")):
        (folder / "coco.json").write_text(text)
        with pytest.raises(CompileError, match=f"is not a COCO file: {message}"):
            images.load("test", folder, folder="photos", boxes=folder / "coco.json", size=20)


def test_masks_follow_the_image(folder: Path) -> None:
    (folder / "masks").mkdir()
    classes = np.zeros((20, 40), np.uint8)
    classes[:, 20:] = 3
    palette = Image.fromarray(classes, "P")
    palette.putpalette(bytes(range(30)))
    palette.save(folder / "masks/0.png")
    Image.fromarray(classes.T).save(folder / "masks/1.png")
    found = images.load("test", folder, folder="photos", masks=folder / "masks", size=20)
    masks = np.concatenate(list(found.extra("masks")))
    assert masks.shape == (2, 20, 20) and (masks[0, :, :10] == 0).all() and (masks[0, :, 10:] == 3).all()
    padded = images.load("test", folder, folder="photos", masks=folder / "masks", size=40, pad=0)
    assert (next(padded.extra("masks"))[0, :10] == 255).all()
    Image.fromarray(classes).save(folder / "masks/1.png")
    with pytest.raises(CompileError, match=r"1\.png` has 20 x 40 pixels, but its image 40 x 20"):
        list(images.load("test", folder, folder="photos", masks=folder / "masks", size=20).extra("masks"))
    (folder / "masks/1.png").unlink()
    with pytest.raises(CompileError, match=r"1\.png` has no mask in") as caught:
        images.load("test", folder, folder="photos", masks=folder / "masks", size=20)
    assert caught.value.diagnostics[0].code is Code.ANNOTATIONS


def test_arrays_beside_the_inputs(folder: Path) -> None:
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.savez(folder / "a.npz", x=x, texts=np.array(["a", "b", "c", "d"]), y=np.arange(4), one=np.zeros(1))
    found = npz.load("test", folder, path="a.npz", inputs={"in": "x"}, label="y", limit=3)
    assert {*found.arrays} == {"in"} and {*found.extras} == {"in", "texts"}
    assert np.concatenate(list(found.extra("texts"))).tolist() == ["a", "b", "c"]
    subject = model("(float[N,2] in) => (float[N,2] y)", "y = Identity(in)")
    batches = list(subject.all_outputs(found))
    assert [{*each} for each in batches] == [{"y"}] and (batches[0]["y"] == x[:3]).all()
    with pytest.raises(CompileError, match="data `test` has no array `text`"):
        list(found.extra("text"))
