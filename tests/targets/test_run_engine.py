"""Running engines and comparing them, with stand-ins for the GPU's driver and for TensorRT's runtime.

They hold the calls to what NVIDIA documents of them: tensors live at addresses of GPU memory, shapes are set before
sizes are asked for, nothing runs before every address is known. Engines really run in tests/gpu.
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vggc.diagnostics import CompileError, render
from vggc.graph import Graph
from vggc.targets import run_engine, validation
from vggc.targets.contract import Lowering
from vggc.targets.cuda_driver import CudaError, Device
from vggc.targets.engine_child import Failed, Log
from vggc.targets.engine_file import Sidecar, read_sidecar
from vggc.targets.engine_messages import failed
from vggc.targets.onnx import onnx as onnx_target
from vggc.targets.tensorrt import tensorrt

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]


class FakeDevice:
    """GPU memory as a dictionary."""

    name, capability, driver, stream = "NVIDIA Test", "sm89", "13.1", 1234
    memory: dict[int, bytearray] = {}

    def allocate(self, size: int) -> int:
        address = 256 * (len(self.memory) + 1)
        self.memory[address] = bytearray(size)
        return address

    def write(self, address: int, array: np.ndarray) -> None:
        self.memory[address][:] = array.tobytes()

    def read(self, address: int, array: np.ndarray) -> None:
        array[...] = np.frombuffer(self.memory[address], array.dtype).reshape(array.shape)

    def wait(self) -> None:
        """Everything is done at once."""

    def milliseconds(self, work: Callable[[], None]) -> float:
        work()
        return 0.25


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class Context:
    """Runs y = max(x, 0) * factor of float32 [N, 3]; profile 0 takes up to 4 samples, profile 1 up to 8."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.profile = 0
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream == FakeDevice.stream
        self.profile = index
        return index < 2

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return shape[0] <= (4, 8)[self.profile]

    def infer_shapes(self) -> list[str]:
        return [] if "x" in self.shapes else ["x"]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes["x"]

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def get_tensor_address(self, name: str) -> int:
        return self.addresses[name]

    def execute_async_v3(self, stream: int) -> bool:
        memory = FakeDevice.memory
        x = np.frombuffer(memory[self.addresses["x"]], np.float32)
        memory[self.addresses["y"]][:] = (np.maximum(x, 0) * np.float32(self.factor)).tobytes()
        return True


class FakeEngine:
    num_io_tensors = 2

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def get_tensor_name(self, index: int) -> str:
        return ("x", "y")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == "x" else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(name="FLOAT")

    def create_execution_context(self) -> Context:
        return Context(self.factor)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, fake_tensorrt: Callable[[str], None]) -> Callable[[float], None]:
    """A GPU on which the engine multiplies its results by a factor; 0 for an engine that does not load."""
    fake_tensorrt("built")
    FakeDevice.memory = {}
    monkeypatch.setattr(run_engine, "Device", FakeDevice)

    def ask(module: str, job: dict[str, Any], describe: Any, **_: Any) -> tuple[dict[str, Any], list[Any]]:
        assert module == "vggc.targets.run_engine"
        log = Log()
        try:
            # What goes through the job file is JSON.
            return json.loads(json.dumps(run_engine.run_all(json.loads(json.dumps(job)), log))), log.entries
        except Failed as error:
            raise failed(
                job["package"], {"failed": error.kind, "log": log.entries, **error.detail}, "", describe
            ) from None

    monkeypatch.setattr(validation, "ask", ask)

    def behave(factor: float) -> None:
        class Runtime:
            def __init__(self, logger: Any) -> None:
                self.engine_host_code_allowed = False

            def deserialize_cuda_engine(self, content: bytes) -> FakeEngine | None:
                return FakeEngine(factor) if factor else None

        import tensorrt as package

        monkeypatch.setattr(package, "Runtime", Runtime, raising=False)
        monkeypatch.setattr(package, "TensorIOMode", TensorIOMode, raising=False)
        monkeypatch.setattr(package, "nptype", lambda kind: np.float32, raising=False)

    behave(1.0)
    return behave


@pytest.fixture
def sidecar(gpu: object, make_graph: GraphMaker, lower: LoweringMaker) -> Sidecar:
    lowering = lower(make_graph("g (float[N,3] x) => (float[N,3] y) { [relu1] y = Relu(x) }"))
    onnx_target(lowering)
    for value in lowering.graph.outputs:
        value.shape = None
    from vggc.values import Interval

    tensorrt(lowering, batch=[Interval((1, 2, 4)), Interval((1, 8))])
    return read_sidecar(lowering.directory / "model.engine.json")


def test_each_profile_at_its_shapes(sidecar: Sidecar) -> None:
    found = validation.validate(sidecar)
    assert (found.error, found.tolerance) == (0.0, validation.TF32)
    facts = read_sidecar(sidecar.path).values["validated_on"]
    assert facts["gpu"] == "NVIDIA Test"
    assert facts["compute_capability"] == "sm89"
    assert [(each["profile"], each["shapes"]["x"], each["milliseconds"]) for each in facts["runs"]] == [
        (0, [1, 3], 0.25),
        (0, [2, 3], 0.25),
        (0, [4, 3], 0.25),
        (1, [1, 3], 0.25),
        (1, [8, 3], 0.25),
    ]


def refused(sidecar: Sidecar) -> str:
    with pytest.raises(CompileError) as error:
        validation.validate(sidecar)
    assert read_sidecar(sidecar.path).values["validated_on"] is None
    return "\n".join(render(each, code=True) for each in error.value.diagnostics)


def test_an_engine_that_computes_something_else(sidecar: Sidecar, gpu: Callable[[float], None]) -> None:
    gpu(1.02)
    text = refused(sidecar)
    assert text.startswith("error: the engine's output `y` differs from onnxruntime's: relative error 0.02: ")
    assert "[VGGC644]\n = inputs: `x` [1, 3]\n = allowed: 0.005\n" in text


def test_an_engine_that_rounds(sidecar: Sidecar, gpu: Callable[[float], None]) -> None:
    gpu(1.002)
    assert validation.validate(sidecar).error == pytest.approx(0.002, rel=1e-3)


def test_an_engine_that_does_not_load(sidecar: Sidecar, gpu: Callable[[float], None]) -> None:
    gpu(0)
    assert refused(sidecar).splitlines()[0] == "error: TensorRT cannot load the engine [VGGC643]"


def test_an_engine_that_was_tampered_with(sidecar: Sidecar) -> None:
    sidecar.engine.write_bytes(b"code of somebody else's")
    assert "is not the one that its sidecar describes: its SHA-256 differs" in refused(sidecar)


def test_shapes_that_the_engine_does_not_take(sidecar: Sidecar) -> None:
    values = json.loads(sidecar.path.read_text())
    values["profiles"][0]["x"]["max"] = [64, 3]
    sidecar.path.write_text(json.dumps(values))
    assert refused(read_sidecar(sidecar.path)).startswith(
        "error: the engine does not accept shape [64, 3] for `x` [VGGC643]\n"
    )


def test_an_engine_without_its_weights(sidecar: Sidecar) -> None:
    values = json.loads(sidecar.path.read_text())
    values["options"]["strip"] = True
    sidecar.path.write_text(json.dumps(values))
    assert refused(read_sidecar(sidecar.path)) == (
        "error: the engine was built without its weights [VGGC642]\nhelp: refit it, or build it without strip=true"
    )


def test_a_machine_without_a_gpu(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise CudaError("the NVIDIA driver finds no GPU")

    monkeypatch.setattr(run_engine, "Device", none)
    assert refused(sidecar) == (
        "error: the engine cannot run here: the NVIDIA driver finds no GPU [VGGC643]\n"
        "help: run it on a machine with an NVIDIA GPU and its driver"
    )


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    with pytest.raises(CudaError, match=f"no NVIDIA driver: {name} cannot be loaded"):
        Device()


def test_coarser_types_may_be_further_off(sidecar: Sidecar, make_graph: GraphMaker) -> None:
    half = make_graph("g (float16[3] x) => (float16[3] y) { y = Relu(x) }")
    int8 = make_graph(
        "g (float[3] x) => (float[3] y) { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }",
        s=np.float32(0.1),
        z=np.int8(0),
    )
    plain = make_graph("g (float[3] x) => (float[3] y) { y = Relu(x) }")
    exact = Sidecar(sidecar.path, {**sidecar.values, "tf32": False})
    for graph in (half, int8, plain):
        graph.infer_shapes()
    found = [validation.tolerance(each, graph) for each, graph in ((exact, half), (exact, int8), (exact, plain))]
    assert found == [1e-2, 5e-2, validation.FLOAT32]
    assert validation.tolerance(sidecar, plain) == validation.TF32
