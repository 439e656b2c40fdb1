"""Serve the digits model with each server that is installed, send it requests, and compare its answers.

    python examples/serving/demo.py [FOLDER]

FOLDER, build/serving by default, gets what `vggc` writes for the servers, and their logs. The exit status is 1 when a
server that is installed does not start or answers something else than onnxruntime.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

DIGITS = Path(__file__).parents[1] / "digits"
NAME = "digits"
SECONDS = 120.0
"""How long a server may take to load the model."""

ALLOWED = 1e-4
"""The largest error of an answer, relative to the largest number."""


@dataclass(frozen=True)
class Server:
    """A server: its program, what else it needs, and how to get it.

    `target` is the line of the recipe, `module` what the target needs beside vggc, and `other` is a program that the
    server needs.
    """

    title: str
    program: str
    target: str
    advice: str
    variable: str = ""
    other: str = ""

    def find(self) -> str | None:
        """The program's path: on the path, or beside a Python that may have it."""
        pythons = [os.environ.get(self.variable, ""), sys.executable]
        beside = [str(Path(each).parent) for each in pythons if each]
        return shutil.which(self.program) or shutil.which(self.program, path=os.pathsep.join(beside))

    def missing(self) -> str:
        """What is missing to start it; empty when nothing is."""
        if self.find() is None:
            return f"`{self.program}` is not installed: {self.advice}"
        if self.other and shutil.which(self.other) is None:
            return f"`{self.other}`, which it needs, is not installed: {self.advice}"
        return ""


TRITON = Server(
    "Triton",
    "tritonserver",
    f'target triton(name="{NAME}", max_batch=8, device=cpu)',
    "run this in NVIDIA's container nvcr.io/nvidia/tritonserver",
)
TF_SERVING = Server(
    "TensorFlow Serving",
    "tensorflow_model_server",
    f'target tf_serving(name="{NAME}")',
    "run this in the container tensorflow/serving, or install its package for Debian and Ubuntu",
)
TORCHSERVE = Server(
    "TorchServe",
    "torchserve",
    f'target torchserve(name="{NAME}")',
    "pip install torchserve torch-model-archiver torch onnxruntime, and install Java 17",
    variable="VGGC_PYTHON_TORCHSERVE",
    other="java",
)
SERVERS = (TRITON, TF_SERVING, TORCHSERVE)


def main(folder: Path = Path("build/serving")) -> int:
    """Try every server, and print a line for each. Returns the exit status."""
    images = np.load(DIGITS / "calib.npz")["image"][:4]
    status = 0
    for server in SERVERS:
        if lacking := server.missing():
            print(f"{server.title}: not tried; {lacking}")
            continue
        try:
            print(f"{server.title}: {served(server, folder / server.program, images)}")
        except Failed as error:
            print(f"{server.title}: FAILED: {error}")
            status = 1
    return status


class Failed(Exception):
    """A server did not start, or its answer is wrong."""


def served(server: Server, folder: Path, images: Any) -> str:
    """Compile for a server, start it, send requests, and compare. Returns what to tell. Raises Failed."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "serve.opt"
    recipe.write_text(f"simplify\nfold_batch_norm\ntarget onnx\n{server.target}\n", encoding="utf-8")
    out = folder / "out"
    command = [sys.executable, "-m", "vggc", str(recipe), str(DIGITS / "digits_vgg.onnx"), "-o", str(out), "-q"]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise Failed(compiled.stderr.strip())
    session = ort.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (expected,) = session.run(None, {given.name: images})
    start = {"tritonserver": start_triton, "tensorflow_model_server": start_tf_serving, "torchserve": start_torchserve}
    with start[server.program](server.find() or server.program, out, folder) as ask:
        answered = ask({given.name: images}, session.get_outputs()[0].name)
        error = float(np.abs(answered - expected).max() / np.abs(expected).max())
        started = time.perf_counter()
        ask({given.name: images[:1]}, session.get_outputs()[0].name)
        seconds = time.perf_counter() - started
    if answered.shape != expected.shape or not error <= ALLOWED:
        raise Failed(f"its answer differs from onnxruntime's by {error:.1e}")
    took = f"{1e3 * seconds:.1f} ms"
    return f"answers {len(images)} images like onnxruntime (largest error {error:.0e}), one image in {took}"


@contextmanager
def start_triton(program: str, out: Path, folder: Path) -> Iterator[Any]:
    """Triton with KServe's protocol, version 2."""
    http, grpc, metrics = free_ports(3)
    command = [program, f"--model-repository={out / 'triton'}", "--http-address=127.0.0.1", f"--http-port={http}"]
    command += ["--grpc-address=127.0.0.1", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    url = f"http://127.0.0.1:{http}/v2/models/{NAME}"

    def ask(arrays: dict[str, Any], output: str) -> Any:
        inputs = [
            {"name": name, "shape": list(each.shape), "datatype": "FP32", "data": each.ravel().tolist()}
            for name, each in arrays.items()
        ]
        answer = post(f"{url}/infer", {"inputs": inputs})
        found = next(each for each in answer["outputs"] if each["name"] == output)
        return np.array(found["data"], np.float32).reshape(found["shape"])

    with running(command, folder, lambda: fetch(f"{url}/ready") is not None):
        yield ask


@contextmanager
def start_tf_serving(program: str, out: Path, folder: Path) -> Iterator[Any]:
    """TensorFlow Serving with its REST interface."""
    rest, grpc = free_ports(2)
    base = (out / "tf_serving" / NAME).resolve()
    command = [
        program,
        f"--rest_api_port={rest}",
        f"--port={grpc}",
        f"--model_name={NAME}",
        f"--model_base_path={base}",
    ]
    url = f"http://127.0.0.1:{rest}/v1/models/{NAME}"

    def ask(arrays: dict[str, Any], output: str) -> Any:
        answer = post(f"{url}:predict", {"inputs": {name: each.tolist() for name, each in arrays.items()}})
        # A signature with one output answers without its name.
        return np.array(answer["outputs"], np.float32)

    with running(command, folder, lambda: "AVAILABLE" in (fetch(url) or "")):
        yield ask


@contextmanager
def start_torchserve(program: str, out: Path, folder: Path) -> Iterator[Any]:
    """TorchServe with the handler of `target torchserve`."""
    http, management, metrics = free_ports(3)
    settings = folder / "ts.properties"
    addresses = {"inference": http, "management": management, "metrics": metrics}
    lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in addresses.items()]
    settings.write_text("\n".join([*lines, "default_workers_per_model=1", ""]), encoding="utf-8")
    command = [program, "--start", "--foreground", "--disable-token-auth", "--ncs", "--model-store", str(out)]
    command += ["--models", f"{NAME}={NAME}.mar", "--ts-config", str(settings)]

    def ask(arrays: dict[str, Any], output: str) -> Any:
        request = {"inputs": {name: each.tolist() for name, each in arrays.items()}}
        answer = post(f"http://127.0.0.1:{http}/predictions/{NAME}", request)
        if "error" in answer:
            raise Failed(answer["error"])
        return np.array(answer["outputs"][output], np.float32)

    ready = f"http://127.0.0.1:{management}/models/{NAME}"
    # Its workers are Python programs, found on the path.
    with running(command, folder, lambda: "READY" in (fetch(ready) or ""), path=str(Path(program).parent)):
        yield ask


@contextmanager
def running(command: list[str], folder: Path, ready: Any, *, path: str = "") -> Iterator[None]:
    """Run a server until the end of the block. Raises Failed when it ends, or does not become ready."""
    log = folder / "server.log"
    environment = {**os.environ, "PATH": os.pathsep.join(filter(None, [path, os.environ.get("PATH", "")]))}
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + SECONDS
            while not ready():
                if process.poll() is not None:
                    raise Failed(f"it ended with status {process.returncode}; its messages are in {log}")
                if time.monotonic() > end:
                    raise Failed(f"it was not ready after {SECONDS:g} s; its messages are in {log}")
                time.sleep(0.2)
            yield
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server with its workers."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, end)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue


def post(url: str, values: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer to a JSON request. Raises Failed with the server's words."""
    request = urllib.request.Request(url, json.dumps(values).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise Failed(f"{error}: {error.read().decode(errors='replace')[:300]}") from None


def fetch(url: str) -> str | None:
    """What is at an address, None when nothing answers or the answer is an error."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
