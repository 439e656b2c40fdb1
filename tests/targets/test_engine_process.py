"""However a build ends, it ends in an engine or in a message. The builder is a stand-in that ends as asked."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from vggc.diagnostics import Code, CompileError, render
from vggc.targets.engine_messages import failed
from vggc.targets.engine_process import Engine, Job, build
from vggc.targets.node_names import Described

Behave = Callable[[str], None]


def job(folder: Path, **more: object) -> Job:
    model = folder / "model.onnx"
    model.touch()
    values = {
        "package": "tensorrt",
        "model": str(model),
        "engine": str(folder / "model.engine"),
        "name": "net",
        "compute": (),
        "tf32": True,
        "workspace": None,
        "profiles": (),
        "origins": {"relu1": " [vggc: simplify, line 4]"},
    }
    return Job(**{**values, **more})  # type: ignore[arg-type]


def describe(name: str) -> Described:
    return Described(f"Relu `{name}`", (("made by", "simplify, line 4"),))


def message(
    folder: Path, *, timeout: float | None = None, stall: float = 60, code: Code | None = None, **more: object
) -> str:
    """The text of the error a build ends in, with this code when one is given; no file is left."""
    with pytest.raises(CompileError) as error:
        build(job(folder, **more), describe, timeout=timeout, stall=stall)
    assert not (folder / "model.engine").exists()
    assert code is None or {each.code for each in error.value.diagnostics} == {code}
    return "\n".join(render(each) for each in error.value.diagnostics)


def test_built(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("built")
    engine = build(job(tmp_path, tf32=False, workspace=1 << 20), describe)
    written = (tmp_path / "model.engine").read_bytes()
    assert written == b"engine of net: [ONNX Layer: relu1] [vggc: simplify, line 4]"
    assert engine == Engine(
        version="10.13.3.9",
        bytes=len(written),
        sha256=hashlib.sha256(written).hexdigest(),
        compute=[],
        flags=[],
        workspace=1 << 20,
        inputs=[{"name": "x", "type": "float", "shape": [2, 3]}],
        outputs=[{"name": "y", "type": "float", "shape": [2, 3]}],
        layers=1,
        seconds=engine.seconds,
        warnings=["Detected a slow path"],
    )


@pytest.mark.parametrize("behaviour", ["error", "error and engine"])
def test_a_logged_error_fails_the_build_and_names_the_node(
    tmp_path: Path, fake_tensorrt: Behave, behaviour: str
) -> None:
    fake_tensorrt(behaviour)
    assert message(tmp_path, code=Code.BUILD) == (
        "error: TensorRT cannot build Relu `relu1`\n = made by: simplify, line 4\n = TensorRT: [relu1] cannot be fused."
    )


@pytest.mark.parametrize(
    ("behaviour", "warning"),
    [
        ("other numbers", "Weight at index 0: 1e+300 is out of range. Clamping to: 3.40282e+38"),
        ("defaulting", "Detected UINT8 in the model. Defaulting to INT8."),
    ],
)
def test_a_warning_that_numbers_were_changed_fails_the_build(
    tmp_path: Path, fake_tensorrt: Behave, behaviour: str, warning: str
) -> None:
    fake_tensorrt(behaviour)
    assert message(tmp_path) == (
        "error: TensorRT would build Relu `relu1` with numbers that differ from the model's\n"
        " = made by: simplify, line 4\n"
        f" = TensorRT: {warning}"
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("no_layers", "error: TensorRT found no operator in the model, so there is nothing to build"),
        (
            "shape_input",
            "error: the values of the input `s` determine shapes inside the model, and TensorRT has no profile for "
            "them\n"
            "help: make that input a constant before compiling",
        ),
    ],
)
def test_networks_that_are_none(kind: str, text: str) -> None:
    error = failed("tensorrt", {"failed": kind, "log": [], "inputs": ["s"]}, "", describe)
    assert isinstance(error, CompileError)
    assert "\n".join(render(each) for each in error.diagnostics) == text


def test_no_engine_and_no_error(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("nothing")
    assert message(tmp_path) == (
        "error: TensorRT did not build the engine and gave no reason\n"
        " = last output: noise on standard output\n"
        "help: use `target onnx` alone to write the compiled model and look for what TensorRT does not support"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals on POSIX only")
def test_a_crash(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("crash")
    assert message(tmp_path, code=Code.BUILD_ENDED) == (
        "error: TensorRT crashed while it built the engine (SIGSEGV)\n"
        " = last output: Loading plugins\n"
        "help: use `target onnx` alone to write the compiled model and look for what TensorRT does not support"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals on POSIX only")
def test_the_log_outlives_a_crash(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("quiet crash")
    log = tmp_path / "model.engine.log"
    assert " = last output: WARNING: Detected a slow path\n" in message(tmp_path, log=str(log))
    assert not log.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals on POSIX only")
def test_killed_from_outside(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("killed")
    assert message(tmp_path) == (
        "error: the TensorRT build was killed (SIGKILL)\n"
        " = last output: Loading plugins\n"
        "help: the system kills a process when memory runs out: close other programs or build a smaller model"
    )


def test_an_exit_without_a_result(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("leave")
    assert message(tmp_path) == (
        "error: the TensorRT build ended without a result (exit status 7)\n"
        " = last output: giving up\n"
        "help: use `target onnx` alone to write the compiled model and look for what TensorRT does not support"
    )


@pytest.mark.parametrize(
    ("behaviour", "fact"),
    [
        ("memory error", ""),
        ("terminate", " = last output: terminate called after throwing an instance of 'std::bad_alloc'\n"),
        ("memory logged", " = TensorRT: Unexpected exception std::bad_alloc\n"),
        ("gpu memory", " = TensorRT: Requested amount of GPU memory could not be allocated: OutOfMemory\n"),
    ],
)
def test_out_of_memory(tmp_path: Path, fake_tensorrt: Behave, behaviour: str, fact: str) -> None:
    fake_tensorrt(behaviour)
    assert message(tmp_path, code=Code.BUILD_MEMORY) == (
        f"error: TensorRT ran out of memory while it built the engine\n{fact}"
        "help: close other programs, or build where there is more memory"
    )


def test_a_machine_without_a_gpu(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("no gpu")
    assert message(tmp_path) == (
        "error: TensorRT could not build the engine: "
        "TypeError: pybind11::init(): factory function returned nullptr\n"
        "help: TensorRT needs an NVIDIA GPU and its driver to build"
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "libnvinfer.so.10: cannot open shared object file",
            "error: the Python package `tensorrt` cannot be loaded: libnvinfer.so.10: cannot open shared object file\n"
            "help: install it again",
        ),
        (
            "tensorrt.so: failed to map segment from shared object",
            "error: TensorRT ran out of memory while it built the engine\n"
            " = loader: tensorrt.so: failed to map segment from shared object\n"
            "help: close other programs, or build where there is more memory",
        ),
    ],
)
def test_a_package_that_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, expected: str
) -> None:
    broken = tmp_path / "broken" / "tensorrt"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"raise ImportError({reason!r})")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    assert message(tmp_path) == expected


def test_a_file_of_the_users_that_is_called_like_a_module(
    tmp_path: Path, fake_tensorrt: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_tensorrt("built")
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    build(job(tmp_path), describe)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("built")
    (tmp_path / "model.engine").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as error:
        build(job(tmp_path), describe)
    assert error.value.filename == str(tmp_path / "model.engine")
    assert not (tmp_path / "model.engine").is_symlink()
    assert Path("/dev/full").exists()


# --- builds that do not end by themselves ------------------------------------------------------------------


def running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        # A process nobody has waited for yet is there, but it runs no longer.
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def ended(pid_file: Path) -> bool:
    """Whether the build is over; one that had no time to say which process it is was ended before it began."""
    return not (pid_file.exists() and pid_file.read_text()) or not running(int(pid_file.read_text()))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def pid_file(tmp_path: Path, fake_tensorrt: Behave, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a build that hangs says which process it is."""
    fake_tensorrt("hang")
    monkeypatch.setenv("FAKE_TENSORRT_PID", str(tmp_path / "pid"))
    return tmp_path / "pid"


def test_a_timeout_ends_the_build(tmp_path: Path, pid_file: Path) -> None:
    assert message(tmp_path, timeout=1.5) == (
        "error: TensorRT did not finish the engine within 1.5 s\nhelp: allow it more time with timeout="
    )
    assert ended(pid_file)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has worked")
def test_a_build_that_stands_still_is_ended(tmp_path: Path, pid_file: Path) -> None:
    assert message(tmp_path, stall=1.5) == (
        "error: TensorRT makes no progress: it has done nothing for 1.5 s\n"
        "help: TensorRT can deadlock when memory is short: close other programs and try again"
    )
    assert ended(pid_file)


def test_a_build_that_works_is_let(tmp_path: Path, fake_tensorrt: Behave) -> None:
    fake_tensorrt("work")
    build(job(tmp_path), describe, stall=1.5)


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_engine_process import build, describe, job
build(job(Path(sys.argv[2])), describe)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_the_build_ends_with_the_process_that_wants_it(tmp_path: Path, pid_file: Path, name: str) -> None:
    compiler = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(tmp_path)], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: pid_file.exists() and bool(pid_file.read_text()))
        build_process = int(pid_file.read_text())
        assert running(build_process)
        compiler.send_signal(signal.Signals[name])
        compiler.wait(20)
        wait_for(lambda: not running(build_process))
    finally:
        compiler.kill()
        compiler.wait()
