"""`vggc check RECIPE MODEL`: everything that is known before a compile, in one run; and the start of every compile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(vggc: Any) -> None:
    """Samples for the small model, without labels, and photos."""
    random = np.random.default_rng(0)
    np.savez("calib.npz", x=random.standard_normal((8, 3, 8, 8)).astype(np.float32))
    Path("photos").mkdir()
    for index in range(8):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(f"photos/{index}.png")


def heads(text: str) -> list[str]:
    """The first lines of all messages."""
    return [each for each in text.splitlines() if each.startswith(("error: ", "warning: "))]


WRONG = """data calib = npz("calib.npz")
simplify
prune_channels(data=calib, except="haed")
quantize(int8)
require accuracy(calib) >= 50%
require agreement(calib, output="logit") >= 50%
target triton(max_batch=4)
"""


def test_everything_that_cannot_work_is_found_in_one_run(vggc: Any, recipe: Any, data: None) -> None:
    ran = vggc("check", recipe("set_batch(4)\n" + WRONG), "model.onnx")
    assert (ran.status, ran.out) == (1, "")
    assert heads(ran.err) == [
        "error: prune_channels takes one of `macs`, `params`, `keep` and `size`; given: none [VGGC136]",
        "error: `except` names `haed`, but no node of the model has that name [VGGC412]",
        "error: quantizing to int8 needs samples [VGGC506]",
        "error: data `calib` has no labels to measure accuracy with [VGGC507]",
        "error: the model has no output `logit` [VGGC411]",
        "error: Triton batches along the first dimension, but that of the input `x` float32 [4, 3, 8, 8] does not vary "
        "[VGGC606]",
    ]


def test_a_compile_begins_with_the_check(vggc: Any, recipe: Any, data: None) -> None:
    Path("mine.py").write_text(
        "from pathlib import Path\nfrom vggc.graph import Graph\nfrom vggc.rewrite import whole_graph\n\n"
        "@whole_graph\ndef long_work(graph: Graph) -> None:\n    Path('worked').touch()\n"
    )
    ran = vggc(recipe('use "mine.py"\nlong_work\nquantize(int8)'), "model.onnx", "-o", "out")
    assert (ran.status, heads(ran.err)) == (1, ["error: quantizing to int8 needs samples [VGGC506]"])
    assert not Path("worked").exists()
    assert not Path("out").exists()


def test_without_a_model_options_are_checked(vggc: Any, recipe: Any, data: None) -> None:
    ran = vggc("check", recipe(WRONG))
    assert ran.status == 1
    assert heads(ran.err) == [
        "error: prune_channels takes one of `macs`, `params`, `keep` and `size`; given: none [VGGC136]",
        "error: quantizing to int8 needs samples [VGGC506]",
        "error: data `calib` has no labels to measure accuracy with [VGGC507]",
    ]


LARGE = 'data photos = images("photos", scale=1)\nfold_batch_norm\nrequire agreement(photos) >= 0%'
WARNING = "warning: the images of data `photos` do not have the scale that the model was trained with [VGGC312]"


@pytest.mark.parametrize("words", [("check",), ("plan",), ()])
def test_a_warning_ends_nothing(vggc: Any, recipe: Any, data: None, words: tuple[str, ...]) -> None:
    ran = vggc(*words, recipe(LARGE), "model.onnx")
    assert ran.status == 0
    assert ran.err.splitlines()[:2] == [WARNING, " --> recipe.opt:1:1"]


def test_a_warning_comes_before_the_first_step(
    vggc: Any, recipe: Any, data: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGC_PROGRESS", "lines")
    ran = vggc(recipe(LARGE), "model.onnx", "-o", "out")
    lines = ran.err.splitlines()
    assert lines.index(WARNING) < lines.index("step 1 of 1: fold_batch_norm")
    assert any(each.startswith("warning: recipe.opt:1: the images of data `photos`") for each in lines)
