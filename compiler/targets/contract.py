"""What a target is: a function that lowers the compiled graph to files in the output folder.

    @target
    def onnx(lowering: Lowering, *, external: bool = False, name: str = "model.onnx") -> list[Artifact]: ...

The signature is the option schema; the docstring's section "Options:" documents each option.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict, overload

from vggc.cache.keys import file_hash
from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.graph import Graph, Written
from vggc.graph.signature import ValueType
from vggc.options.schema import OptionFunction

RESERVED = frozenset({"report.json", "report.html"})
"""Files of the output folder that no target may write."""

SCRATCH = ".scratch"
"""The folder of `Lowering.scratch` in the output folder, as long as targets run."""


class Provenance(TypedDict):
    """Where a compiled graph comes from. Goes into the sidecar of every engine."""

    recipe: str
    recipe_sha256: str
    parameters: dict[str, Any]
    passes: list[str]
    source_sha256: str
    calibration: dict[str, str]
    """SHA-256 of each data set that a pass or a target read, by its name in the recipe"""


@dataclass(frozen=True)
class Artifact:
    """A file a target wrote. `path` is relative to the output folder, with `/` between its parts."""

    path: str
    target: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, file: Path, folder: Path, target: str) -> Artifact:
        """The artifact for a file on disk, which is read to hash it."""
        return cls(file.relative_to(folder).as_posix(), target, file.stat().st_size, file_hash(file))

    @classmethod
    def written(cls, file: Written, folder: Path, target: str) -> Artifact:
        """The artifact for a file that was hashed while it was written."""
        return cls(file.path.relative_to(folder).as_posix(), target, file.bytes, file.sha256)


@dataclass(frozen=True)
class RuntimeRun:
    """A run of what a target wrote, in the runtime that it is for, on this CPU.

    `largest_error` is the largest difference from onnxruntime's outputs, relative to the largest number of the output.
    Seconds are medians of runs with `batch` samples. `inputs` says what both computed.
    """

    target: str
    runtime: str
    version: str
    batch: int
    largest_error: float
    allowed: float
    seconds: float
    onnxruntime_seconds: float
    inputs: str

    def facts(self) -> dict[str, Any]:
        """The comparison for the sidecar. It has no times, because these differ from run to run."""
        return {
            "with": "onnxruntime",
            "inputs": self.inputs,
            "largest_error": self.largest_error,
            "allowed": self.allowed,
        }


@dataclass(frozen=True)
class Lowering:
    """What the targets of one compile work on. All of them share one, so that a model is written once.

    `directory` is the staging folder they write into. Users see its content only after the whole compile succeeded.
    A target raises CompileError without a span: the pipeline adds the target's line of the recipe.
    """

    graph: Graph
    model_name: str
    directory: Path
    provenance: Provenance
    engines: dict[str, tuple[str, Path]] = field(default_factory=dict, repr=False)
    """engines that earlier targets built, by name: the flavour, and the file with its sidecar beside it"""
    warnings: list[str] = field(default_factory=list, repr=False)
    """warnings for the report"""
    runs: list[RuntimeRun] = field(default_factory=list, repr=False)
    """runs of what the targets wrote, for the report"""
    check_model: Callable[[Sequence[Written]], None] = field(default=lambda written: None, repr=False)
    """called with each model file and its external data as soon as they are written; raises CompileError if wrong"""
    _models: list[list[Written]] = field(default_factory=list, repr=False)

    def warn(self, texts: Iterable[str]) -> None:
        """Add warnings to the report, each text once. A warning does not stop the build."""
        self.warnings.extend(each for each in dict.fromkeys(texts) if each not in self.warnings)

    def claim(self, name: str) -> Path:
        """The path to write the file `name` to. Raises CompileError when the name is not a file name, or is taken."""
        if problem := file_name_problem(name):
            raise CompileError(problem)
        path = self.directory / name
        if os.path.lexists(path):
            raise fail(
                f"two targets write the file `{name}`",
                help=f'give one of them another name: name="{PurePosixPath(name).stem}_2{PurePosixPath(name).suffix}"',
                code=Code.FILE_NAMES,
            )
        return path

    def claim_folder(self, path: str) -> Path:
        """Make a folder in the output folder, `/` between its parts. Raises CompileError as `claim` does."""
        folder = self.directory
        for name in path.split("/"):
            if problem := file_name_problem(name):
                raise CompileError(problem)
            folder /= name
        if os.path.lexists(folder):
            raise fail(
                f"two targets write the folder `{path}`", help="give one of them another name", code=Code.FILE_NAMES
            )
        folder.mkdir(parents=True)
        return folder

    def engine(self, name: str, flavours: Sequence[str]) -> Path:
        """An engine of one of `flavours` that an earlier target built. Raises CompileError when there is none."""
        flavour, path = self.engines.get(name, ("", self.directory / name))
        if flavour in flavours:
            return path
        wanted = " or ".join(f"`target {each}`" for each in flavours)
        problem = (
            f"`target {flavour}` built the engine `{name}`, which this target cannot use"
            if flavour
            else f"no target before this one built the engine `{name}`"
        )
        raise fail(problem, help=f"write {wanted} before this target", code=Code.NO_ENGINE)

    def save_model(self, name: str, *, external: bool) -> list[Written]:
        """Write the graph as the ONNX file `name`. With `external`, or beyond 2 GiB, its weights go beside it."""
        path = self.claim(name)
        self.claim(f"{name}.data")
        written = self.write_model(path, external=external)
        self._models.append(written)
        return written

    def write_model(self, path: Path, *, external: bool = False) -> list[Written]:
        """Write the graph to a path of a target's own in the output folder, and have it checked."""
        written = self.graph.save(path, external=external)
        self.check_model(written)
        return written

    def scratch(self, name: str) -> Path:
        """A folder for what several targets of a compile share. The pipeline removes it when all targets have run."""
        folder = self.directory / SCRATCH / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def model_file(self) -> Iterator[list[Written]]:
        """The compiled model as ONNX files: the model itself first, then its external data where it has some.

        They are the files that an earlier `onnx` target wrote, or files in a folder that is removed after the block.
        """
        if self._models:
            yield self._models[0]
            return
        with tempfile.TemporaryDirectory(prefix=".model-", dir=self.directory) as folder:
            yield self.write_model(Path(folder) / "model.onnx")


Check = Callable[[Sequence[ValueType], Mapping[str, Any]], list[Diagnostic]]
GraphCheck = Callable[[Graph], list[Diagnostic]]
Files = Callable[[Mapping[str, Any]], Sequence[str]]
Reads = Callable[[Mapping[str, Any]], Mapping[str, Sequence[str]]]
SourceCheck = Callable[[Sequence[ValueType], Mapping[str, Any], Mapping[str, Any]], list[Diagnostic]]


@dataclass(frozen=True)
class Target(OptionFunction):
    """A function that writes files for a backend.

    `check` reports what is wrong with options for a model's inputs before any work is done. `check_graph` reports what
    it refuses in a model whose inputs have no fixed shape. `files` returns the files that a target with these options
    writes.
    """

    check_options: Check | None = None
    check_dynamic: GraphCheck | None = None
    files_of: Files | None = None
    reads_of: Reads | None = None
    check_source_options: SourceCheck | None = None
    folders: bool = False
    """whether it may write its files into folders inside the output folder"""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """options of the other flavour that this one does not have, and the reason"""

    def __call__(self, lowering: Lowering, **options: Any) -> list[Artifact]:
        """Lower the graph. Raises CompileError without a span, also for whatever a user's function raises."""
        try:
            artifacts: list[Artifact] = self.function(lowering, **options)
        except CompileError:
            raise
        except Exception as error:
            if self.shipped:
                raise
            raise self.raised("target", error) from error
        if not isinstance(artifacts, list) or not all(isinstance(each, Artifact) for each in artifacts):
            help = "return what it wrote: [Artifact.of(path, lowering.directory, NAME)]"
            raise fail(f"target `{self.name}` did not return a list of Artifact", help=help, code=Code.PASS_RAISED)
        return artifacts

    def check(self, inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
        """What is wrong with these options for a model with these inputs, before anything is compiled."""
        full = self.with_defaults(options)
        problems = [each for name in self.files(options) if (each := self.name_problem(name))]
        if self.check_options and not problems:
            problems += self.check_options(inputs, full)
        return problems

    def check_source(
        self, inputs: Sequence[ValueType], options: Mapping[str, Any], source: Target, source_options: Mapping[str, Any]
    ) -> list[Diagnostic]:
        """What is wrong with these options for a file that an earlier target writes with options of its own."""
        if self.check_source_options is None:
            return []
        return self.check_source_options(inputs, self.with_defaults(options), source.with_defaults(source_options))

    def check_graph(self, graph: Graph) -> list[Diagnostic]:
        """What the target refuses in a graph, with types and shapes inferred, as long as its sizes are not fixed."""
        return self.check_dynamic(graph) if self.check_dynamic else []

    def files(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the files these options make the target write."""
        full = self.with_defaults(options)
        if self.files_of:
            return tuple(self.files_of(full))
        return (full["name"],) if "name" in full else ()

    def reads(self, options: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """The files that earlier targets must have written, each with the targets that can write it."""
        return self.reads_of(self.with_defaults(options)) if self.reads_of else {}

    def name_problem(self, name: str) -> Diagnostic | None:
        """Why a file of this target cannot have this name; None when it can."""
        parts = name.split("/") if self.folders else [name]
        return next((each for part in parts if (each := file_name_problem(part))), None)


@overload
def target(function: Callable[..., list[Artifact]], /) -> Target: ...
@overload
def target(
    *,
    check: Check | None = None,
    check_graph: GraphCheck | None = None,
    files: Files | None = None,
    reads: Reads | None = None,
    check_source: SourceCheck | None = None,
    folders: bool = False,
    lacking: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., list[Artifact]]], Target]: ...
def target(
    function: Callable[..., list[Artifact]] | None = None,
    /,
    *,
    check: Check | None = None,
    check_graph: GraphCheck | None = None,
    files: Files | None = None,
    reads: Reads | None = None,
    check_source: SourceCheck | None = None,
    folders: bool = False,
    lacking: Mapping[str, str] | None = None,
) -> Target | Callable[[Callable[..., list[Artifact]]], Target]:
    """Declare a function as a target of the same name.

    `check` takes the model's inputs and the options (defaults filled in) and returns what is wrong with them;
    `check_graph` takes the graph, and what it returns is reported together with that. `files` takes the options and
    returns the names of the files that the target writes; with `folders`, names may contain folders. `reads` returns
    the files of earlier targets that it needs, and which targets can write them; `check_source` takes the inputs, the
    options and those of the target that writes such a file, and returns what does not fit. `lacking` gives, for an
    option that users may expect, the reason why it does not exist.
    """

    def declare(function: Callable[..., list[Artifact]]) -> Target:
        return Target(
            function.__name__, function, check, check_graph, files, reads, check_source, folders, lacking or {}
        )

    return declare(function) if function else declare


def file_name_problem(name: str) -> Diagnostic | None:
    """Why a file directly in the output folder cannot have this name; None when it can."""
    if name in RESERVED:
        return Diagnostic(
            f"the name `{name}` is reserved for the compile report", help="choose another name", code=Code.FILE_NAMES
        )
    if not name or name.startswith(".") or any(each in name for each in "/\\:\0"):
        return Diagnostic(
            f"`{name}` is not a file name",
            help="write a name without folders that does not begin with a dot; `-o` sets the output folder",
            code=Code.FILE_NAMES,
        )
    if len(name.encode()) > 200:
        return Diagnostic(
            f"the file name `{name[:40]}...` is too long", help="use at most 200 bytes", code=Code.FILE_NAMES
        )
    return None
