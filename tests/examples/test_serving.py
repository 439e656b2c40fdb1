"""The serving demo: servers that are installed answer, a wrong answer is found, and a missing server is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.binding.modules import import_file
from vggc.diagnostics.packages import ONNX2TF, TORCHSERVE
from vggc.runtimes.packages import missing

demo = import_file(Path(__file__).parents[2] / "examples" / "serving" / "demo.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers do not run on Windows")

TRITON = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
import numpy as np, onnxruntime as ort

options = dict(each.removeprefix("--").split("=", 1) for each in sys.argv[1:])
folder = Path(options["model-repository"]) / "digits"
assert 'name: "digits"' in (folder / "config.pbtxt").read_text()
session = ort.InferenceSession(folder / "1" / "model.onnx")
{ending}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({{}} if self.path == "/v2/models/digits/ready" else None)

    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        feeds = {{each["name"]: np.array(each["data"], np.float32).reshape(each["shape"]) for each in given}}
        values = session.run(None, feeds)[0] * {factor}
        name = session.get_outputs()[0].name
        output = {{"name": name, "shape": values.shape, "datatype": "FP32", "data": values.ravel().tolist()}}
        self.answer({{"outputs": [output]}} if self.path == "/v2/models/digits/infer" else None)

    def answer(self, values):
        self.send_response(200 if values is not None else 404)
        self.end_headers()
        self.wfile.write(json.dumps(values).encode())

HTTPServer(("127.0.0.1", int(options["http-port"])), Handler).serve_forever()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one on the path."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("VGGC_PYTHON_TORCHSERVE", raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def test_a_server_that_is_not_installed_is_named(
    installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert demo.main(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" is not installed: ")[0] for line in lines] == [
        "Triton: not tried; `tritonserver`",
        "TensorFlow Serving: not tried; `tensorflow_model_server`",
        "TorchServe: not tried; `torchserve`",
    ]


Tried = Callable[..., tuple[int, str]]


@pytest.fixture
def tried(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tried:
    """Try a program that speaks Triton's protocol: the exit status of the demo, and what it prints."""
    monkeypatch.setattr(demo, "SERVERS", (demo.TRITON,))

    def call(*, factor: float = 1.0, ending: str = "") -> tuple[int, str]:
        program = installed / "tritonserver"
        program.write_text(TRITON.format(python=sys.executable, factor=factor, ending=ending), encoding="utf-8")
        program.chmod(0o755)
        return demo.main(tmp_path), capsys.readouterr().out

    return call


def test_a_server_that_speaks_tritons_protocol(tried: Tried) -> None:
    status, shown = tried()
    assert status == 0 and shown.startswith("Triton: answers 4 images like onnxruntime")


def test_a_wrong_answer_is_found(tried: Tried) -> None:
    status, shown = tried(factor=1.01)
    assert status == 1 and shown.startswith("Triton: FAILED: its answer differs from onnxruntime's by 1.0e-02")


def test_a_server_that_ends_is_told(tried: Tried) -> None:
    status, shown = tried(ending="sys.exit(3)")
    assert status == 1 and shown.startswith("Triton: FAILED: it ended with status 3; its messages are in ")


@pytest.mark.parametrize("server", [demo.TRITON, demo.TF_SERVING, demo.TORCHSERVE], ids=lambda each: each.program)
def test_the_real_server_answers(server: Any, tmp_path: Path) -> None:
    if lacking := server.missing():
        pytest.skip(lacking)
    needed = {demo.TORCHSERVE: TORCHSERVE, demo.TF_SERVING: ONNX2TF}.get(server)
    if needed is not None and (problem := missing("the target", needed)):
        pytest.skip(problem.message)
    images = demo.np.load(demo.DIGITS / "calib.npz")["image"][:4]
    assert demo.served(server, tmp_path, images).startswith("answers 4 images like onnxruntime")
