"""Sidecars and engines as they are read again: an engine is handed out only when its hash matches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.diagnostics import Code, CompileError
from vggc.graph import Graph
from vggc.targets.contract import Lowering
from vggc.targets.engine_file import Sidecar, read_engine, read_sidecar, record_validation
from vggc.targets.tensorrt import tensorrt

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]


@pytest.fixture
def sidecar(make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None]) -> Sidecar:
    """The sidecar of an engine that the stand-in for `tensorrt` built."""
    fake_tensorrt("built")
    lowering = lower(make_graph("g (float[2,3] x) => (float[2,3] y) { [relu1] y = Relu(x) }"))
    tensorrt(lowering)
    return read_sidecar(lowering.directory / "model.engine.json")


def message(path: Path) -> str:
    with pytest.raises(CompileError) as error:
        read_sidecar(path)
    return error.value.diagnostics[0].message


def test_an_engine_whose_hash_matches(sidecar: Sidecar) -> None:
    content = read_engine(sidecar)
    assert content == sidecar.engine.read_bytes()
    assert hashlib.sha256(content).hexdigest() == sidecar.values["engine"]["sha256"]
    assert not sidecar.dynamic


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:-1] + b"!", lambda data: b""])
def test_another_engine_is_not_handed_out(sidecar: Sidecar, change: Callable[[bytes], bytes]) -> None:
    sidecar.engine.write_bytes(change(sidecar.engine.read_bytes()))
    with pytest.raises(CompileError, match=r"is not the one that `model\.engine\.json` describes") as caught:
        read_engine(sidecar)
    assert caught.value.diagnostics[0].code is Code.OTHER_ENGINE


def test_an_engine_that_is_gone(sidecar: Sidecar) -> None:
    sidecar.engine.unlink()
    with pytest.raises(CompileError, match=r"cannot read the engine .*: No such file or directory"):
        read_engine(sidecar)


def test_a_validation_is_written_whole(sidecar: Sidecar) -> None:
    record_validation(sidecar, {"gpu": "NVIDIA GeForce RTX 4090", "largest_error": 1e-6})
    again = read_sidecar(sidecar.path)
    assert again.values["validated_on"] == {"gpu": "NVIDIA GeForce RTX 4090", "largest_error": 1e-6}
    assert {**again.values, "validated_on": None} == sidecar.values
    assert [each.name for each in sidecar.path.parent.iterdir() if each.name.startswith(".")] == []


# --- what is no sidecar --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "`it` is not an object"),
        (b"{}", "`format` is missing"),
        (b'{"format": true}', "`format` is true"),
        (b'{"format": 1}', "`flavour` is missing"),
    ],
)
def test_what_is_no_sidecar(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.engine.json"
    path.write_bytes(content)
    assert message(path) == f"`{path}` is not the sidecar of an engine: {reason}"


def test_a_sidecar_that_cannot_be_read(tmp_path: Path) -> None:
    assert message(tmp_path / "none.json").endswith("none.json`: No such file or directory")
    assert message(tmp_path).endswith("it is not a file, or it is too large")


def changed(sidecar: Sidecar, place: str, value: Any) -> Path:
    values = json.loads(sidecar.path.read_text())
    *parents, last = place.split(".")
    inner = values
    for each in parents:
        inner = inner[each]
    inner[last] = value
    sidecar.path.write_text(json.dumps(values))
    return sidecar.path


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("flavour", "tensorflow", "`flavour` is `tensorflow`"),
        ("tf32", 1, "`tf32` is 1"),
        ("engine.bytes", "many", '`engine.bytes` is "many"'),
        ("engine.bytes", True, "`engine.bytes` is true"),
        ("options.hardware", "any", "`options.hardware` is `any`"),
        ("options", None, "`options` is not an object"),
        ("profiles", {}, "`profiles` is not a list"),
        ("compute_capabilities", [86], "`compute_capabilities` is 86"),
        ("inputs", [{"name": "x"}], "`inputs.type` is missing"),
    ],
)
def test_values_that_are_not_as_they_should_be(sidecar: Sidecar, place: str, value: Any, reason: str) -> None:
    assert message(changed(sidecar, place, value)).endswith(reason)


def test_a_format_of_another_time(sidecar: Sidecar) -> None:
    assert message(changed(sidecar, "format", 99)).endswith("has format 99, but this version of vggc reads format 1")


@pytest.mark.parametrize("name", ["../model.engine", "/etc/passwd", "", ".hidden", "a\0b"])
def test_an_engine_elsewhere_is_never_opened(sidecar: Sidecar, name: str) -> None:
    assert "does not name an engine file" in message(changed(sidecar, "engine.file", name))
