"""What a target is and what a lowering lets it write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from vggc.diagnostics import CompileError, Diagnostic, render
from vggc.graph import Graph
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]
RELU = "g (float[3,4] x) => (float[3,4] y) { y = Relu(x) }"


def test_a_function_becomes_a_target_of_its_name() -> None:
    @target
    def copy(lowering: Lowering, *, times: int = 2, name: str = "copy.txt") -> list[Artifact]:
        """Write the model's name.

        Options:
            times: how often.
        """
        lowering.claim(name).write_text(lowering.model_name * times)
        return [Artifact.of(lowering.directory / name, lowering.directory, "copy")]

    assert copy.name == "copy"
    assert copy.doc.startswith("Write the model's name.\n\nOptions:\n    times: how often.")
    assert copy.files({}) == ("copy.txt",)
    assert copy.files({"name": "other.txt"}) == ("other.txt",)
    assert copy.check([], {"name": "../other.txt"})[0].message == "`../other.txt` is not a file name"


def test_checks_see_the_defaults() -> None:
    @target(
        check=lambda inputs, options: [Diagnostic(f"{options}")],
        files=lambda options: [f"{options['name']}.{each}" for each in range(options["parts"])],
    )
    def split(lowering: Lowering, *, parts: int = 2, name: str = "model") -> list[Artifact]:
        return []

    assert split.files({}) == ("model.0", "model.1")
    assert split.check([], {"parts": 1})[0].message == "{'parts': 1, 'name': 'model'}"


def test_artifacts_are_hashed_as_they_stand_on_disk(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "model.bin").write_bytes(data)
    artifact = Artifact.of(tmp_path / "sub" / "model.bin", tmp_path, "copy")
    assert artifact == Artifact("sub/model.bin", "copy", len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "/a", "C:a", "a\0b", "../a", "a/"])
def test_names_that_are_no_file_names(name: str) -> None:
    problem = file_name_problem(name)
    assert problem is not None
    assert problem.message == f"`{name}` is not a file name"


def test_names_that_are_taken_or_too_long() -> None:
    assert file_name_problem("net_v1.2.onnx") is None
    reserved, long = file_name_problem("report.json"), file_name_problem("n" * 201)
    assert reserved and reserved.message == "the name `report.json` is reserved for the compile report"
    assert long and long.message == f"the file name `{'n' * 40}...` is too long"


def test_two_targets_with_one_file(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    lowering = lower(make_graph(RELU))
    lowering.claim("model.engine").touch()
    with pytest.raises(CompileError) as error:
        lowering.claim("model.engine")
    assert render(error.value.diagnostics[0]) == (
        'error: two targets write the file `model.engine`\nhelp: give one of them another name: name="model_2.engine"'
    )


def test_the_model_is_written_once(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    lowering = lower(make_graph(RELU))
    with lowering.model_file() as files:
        private = files[0].path
        assert private.is_relative_to(lowering.directory)
        assert private.exists()
    assert list(lowering.directory.iterdir()) == []
    written = lowering.save_model("model.onnx", external=False)
    with lowering.model_file() as files:
        assert files == written
    assert written[0].sha256 == hashlib.sha256(private_bytes(lowering)).hexdigest()


def private_bytes(lowering: Lowering) -> bytes:
    """The model as a lowering of its own would write it for itself: the same bytes."""
    fresh = Lowering(lowering.graph, lowering.model_name, lowering.directory, lowering.provenance)
    with fresh.model_file() as files:
        return files[0].path.read_bytes()
