"""Steps in orders that no manual tells of: what comes out is right, or the message says what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("mode", ["each", "end"])
def test_a_model_that_cannot_be_compared_is_placed(vggc: Any, mode: str) -> None:
    Path("odd.opt").write_text("cast(bf16)\nfold_batch_norm\ntarget onnx\n")
    ran = vggc("odd.opt", "model.onnx", "-o", "out", "--verify", mode)
    assert ran.status == 1
    assert "error: onnxruntime cannot load the model: its CPU has no kernel" in ran.err
    assert " --> odd.opt:2:1\n" in ran.err
    assert "while comparing the model before and after" in ran.err
    assert not Path("out").exists()
