"""Steps in orders that no manual tells of: what comes out is right, or the message says what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

CALIB = 'data calib = npz("calib.npz")\n'


def samples(count: int, *, alike: bool = False) -> np.ndarray:
    random = np.random.default_rng(0).standard_normal((count, 3, 8, 8)).astype(np.float32)
    return np.repeat(random[:1], count, axis=0) if alike else random


def compile_(vggc: Any, steps: str, data: np.ndarray | None = None, status: int = 0) -> str:
    """Compile by these steps with these samples; what was said, in one line."""
    np.savez("calib.npz", x=samples(64) if data is None else data)
    Path("odd.opt").write_text(f"{CALIB}{steps}\ntarget onnx\n")
    ran = vggc("odd.opt", "model.onnx", "-o", "out")
    assert ran.status == status, ran.err
    return " ".join(ran.err.split())


@pytest.mark.parametrize("mode", ["each", "end"])
def test_a_model_that_cannot_be_compared_is_placed(vggc: Any, mode: str) -> None:
    Path("odd.opt").write_text("cast(bf16)\nfold_batch_norm\ntarget onnx\n")
    ran = vggc("odd.opt", "model.onnx", "-o", "out", "--verify", mode)
    assert ran.status == 1
    assert "error: onnxruntime cannot load the model: its CPU has no kernel" in ran.err
    assert " --> odd.opt:2:1\n" in ran.err
    assert "while comparing the model before and after" in ran.err
    assert not Path("out").exists()


STEPS = {"prune_channels(keep=50%, align=1, data=calib)": "weights", "quantize(int8, data=calib)": "ranges"}


@pytest.mark.parametrize(("step", "found"), STEPS.items())
def test_samples_that_say_too_little_are_told_of(vggc: Any, step: str, found: str) -> None:
    assert "data `calib`" not in compile_(vggc, step)
    said = compile_(vggc, step, samples(1))
    assert f"data `calib` has 1 sample: {found} found on fewer than 32 are guesses; use a few hundred" in said
    said = compile_(vggc, step, samples(40, alike=True))
    assert "the samples of data `calib` are all equal, at least the first 32: is it complete?" in said
    said = compile_(vggc, f"data noise = random(count=64)\n{step.replace('calib', 'noise')}")
    assert f"data `noise` is random: {found} found on it do not hold for real inputs" in said


@pytest.fixture
def wide(vggc: Any, networks: Any) -> Any:
    """The command, and a model whose second convolution is worth quantizing."""
    networks.plain_with_global_pooling(k=4).save(Path("model.onnx"), external=False)
    return vggc


def test_pruning_behind_quantizing_is_told_of(wide: Any) -> None:
    said = compile_(wide, "quantize(int8, data=calib)\nprune_channels(keep=50%, align=1, data=calib)")
    assert "warning: odd.opt:3: the model is quantized, " in said
    assert "; prune before `quantize`, or behind `strip_qdq`" in said


def test_quantized_weights_tell_no_importance(wide: Any) -> None:
    said = compile_(wide, "quantize(int8, data=calib)\nprune_channels(keep=50%, align=1)", status=1)
    assert "have no constant weights that could tell their importance [VGGC509] --> odd.opt:3:1" in said
    assert said.endswith("help: prune before `quantize`, or behind `strip_qdq`")


@pytest.mark.parametrize("step", ["reconstruct(data=calib)", "sparsify(amount=50%, data=calib)"])
def test_weights_that_are_quantized_stay(wide: Any, step: str) -> None:
    said = compile_(wide, f"quantize(int8, data=calib)\n{step}")
    assert "its weights are quantized: do this before `quantize`, or behind `strip_qdq`" in said


# --- files that are elsewhere ------------------------------------------------------------------------------


def test_a_model_misspelt(vggc: Any) -> None:
    Path("odd.opt").write_text("simplify\n")
    ran = vggc("odd.opt", "modle.onnx")
    assert (ran.status, ran.err) == (
        1,
        "error: cannot read the model `modle.onnx`: No such file or directory [VGGC401]\n"
        "help: a similar name exists: `model.onnx`\n",
    )


def test_data_beside_the_caller_and_not_the_recipe(vggc: Any) -> None:
    Path("recipes").mkdir()
    Path("recipes/odd.opt").write_text('param samples: string = "calib.npz"\ndata calib = npz(samples)\nsimplify\n')
    np.savez("mine.npz", x=samples(4))
    ran = vggc("recipes/odd.opt", "model.onnx", "--set", "samples=mine.npz")
    assert ran.status == 1
    assert "error: there is no file `recipes/mine.npz` [VGGC158]" in ran.err
    said = f"paths are relative to the recipe, not to the current folder: write `{Path.cwd() / 'mine.npz'}`"
    assert said in ran.err


def test_data_misspelt_is_compared_without_the_suffix(vggc: Any) -> None:
    Path("odd.opt").write_text('data calib = npz("missing.npz")\nsimplify\n')
    np.savez("inf.npz", x=samples(4))
    ran = vggc("odd.opt", "model.onnx")
    assert (ran.status, ran.err.splitlines()[-1]) == (1, "help: paths are relative to the recipe")
    np.savez("mising.npz", x=samples(4))
    assert vggc("odd.opt", "model.onnx").err.splitlines()[-1] == "help: a similar name exists: `mising.npz`"


def test_a_step_that_declines_is_named_once(vggc: Any) -> None:
    assert compile_(vggc, "prune_channels(macs=100%)") == (
        "declined: prune_channels: the model is already within the budget"
    )
