"""A small model, a recipe whose trials take a moment, and the search run inside this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vggc.binding.modules import import_file
from vggc.trials.record import SearchRecord
from vggc.trials.settings import Settings
from vggc.trials.trial import Work

small_model = import_file(Path(__file__).parents[1] / "cli" / "conftest.py").small_model

RECIPE = """\
param keep = 50% in 25%..100%   # of the channels
param bits = float in [float, fp16]
param mark: string = "none"

data samples = npz("samples.npz")

prune_channels(keep=keep, align=1)
when bits == fp16 { cast(fp16) }
require cosine(samples) >= 0.2

minimize size
maximize cosine(samples)

target onnx
"""

SETTINGS = Settings(trials=8, batch=3)

Search = Callable[..., SearchRecord]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """The recipe and the model in the current folder."""
    pytest.importorskip("optuna", reason="optuna is not installed")
    monkeypatch.chdir(tmp_path)
    onnx.save(small_model(), "model.onnx")
    np.savez("samples.npz", x=np.random.default_rng(0).normal(size=(32, 3, 8, 8)).astype(np.float32))
    Path("search.opt").write_text(RECIPE)
    return Work(Path("search.opt"), "", Path("model.onnx"))


@pytest.fixture
def search(work: Work) -> Search:
    """Search by a recipe, into a folder; other arguments change the settings."""
    from vggc.trials.search import search_recipe

    def run(
        folder: str = "out", text: str = RECIPE, *, resume: bool = False, ended: Any = None, **settings: Any
    ) -> Any:
        Path("search.opt").write_text(text)
        more = {} if ended is None else {"ended": ended}
        return search_recipe(work, Path(folder), replace(SETTINGS, **settings), resume=resume, **more)

    return run
