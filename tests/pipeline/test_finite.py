"""A step that changes results on purpose must not make NaN or infinite numbers of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from vggc.binding import bind
from vggc.diagnostics import Code, CompileError
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.pipeline.compile import compile_model
from vggc.pipeline.verify import VerifyMode
from vggc.report.record import Report

RATIO = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,2] x) => (float[N,2] y) <float[2] least = {1e-12, 1}> { a = Max (x, least) y = Div (x, a) }
"""
"""One of two limits is zero in float16."""

LOGARITHM = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,2] x) => (float[N,2] y) { a = Relu (x) y = Log (a) }
"""


def compiled(folder: Path, model: str, samples: list[list[float]], verify: VerifyMode = "end") -> Report:
    onnx.save(onnx.parser.parse_model(model), folder / "net.onnx")
    np.savez(folder / "calib.npz", x=np.array(samples, np.float32))
    recipe = 'data calib = npz("calib.npz")\nsimplify\ncast(fp16)\ntarget onnx\n'
    pipeline = bind(parse(Source(str(folder / "r.opt"), recipe)))
    return compile_model(pipeline, folder / "net.onnx", folder / "out", verify=verify)


def test_numbers_that_become_nan(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        compiled(tmp_path, RATIO, [[1, 2], [0, 3]])
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.message == (
        "`cast` makes NaN or infinite numbers of output `y` on the first 8 samples of data `calib`"
    )
    assert diagnostic.code is Code.NOT_FINITE_RESULT
    assert diagnostic.span is not None and diagnostic.span.line == 3
    assert not (tmp_path / "out").exists()


def test_numbers_that_stay_numbers(tmp_path: Path) -> None:
    assert compiled(tmp_path, RATIO, [[1, 2], [3, 3]]).steps[1].total


def test_what_is_infinite_in_the_model_as_read(tmp_path: Path) -> None:
    assert compiled(tmp_path, LOGARITHM, [[1, 2], [3, -1]]).steps[1].total


def test_nothing_is_run_without_verification(tmp_path: Path) -> None:
    assert compiled(tmp_path, RATIO, [[1, 2], [0, 3]], verify="off").steps[1].total
