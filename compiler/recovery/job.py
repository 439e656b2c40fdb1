"""A training as every process of a team gets it, and the trainer that it is done with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vggc.graph import Graph
from vggc.recovery.sample_store import SampleStore
from vggc.recovery.settings import Settings, State
from vggc.recovery.teacher import Teacher
from vggc.recovery.team import Team
from vggc.recovery.terms import Term
from vggc.recovery.training import Trainer
from vggc.recovery.twin import Twin
from vggc.recovery.weights import Weight, trainable

_NAME = "model.onnx"


@dataclass(frozen=True)
class Job:
    """What a process needs beside its number: both models as files by name, samples, what to compare, and the state."""

    graph: dict[str, bytes]
    original: dict[str, bytes]
    learn: SampleStore
    judge: SampleStore
    terms: Sequence[Term]
    settings: Settings
    state: State


def as_files(graph: Graph) -> dict[str, bytes]:
    """A graph as the files that it is stored in, by their names; notes on its nodes are in them."""
    with tempfile.TemporaryDirectory(prefix="vggc-") as name:
        graph.save(Path(name) / _NAME)
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def from_files(files: dict[str, bytes], folder: Path) -> Graph:
    """The graph that is stored in files, which are written into a folder that must stay as long as the graph."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    graph = Graph.load(folder / _NAME)
    graph.infer_shapes()
    return graph


def work(job: Job, team: Team) -> None:
    """Take part in a training of which the first process keeps the result."""
    with tempfile.TemporaryDirectory(prefix="vggc-") as name:
        graph = from_files(job.graph, Path(name) / "graph")
        original = from_files(job.original, Path(name) / "original")
        weights = trainable(graph, statistics=any(job.settings.statistics))
        twin = twin_of(graph, weights, job.settings, team)
        teacher = Teacher(original, team.device)
        trainer = trainer_of(job, twin, teacher, reached(graph, weights, twin, job.terms), team)
        trainer.train(job.state, lambda what, done=0, total=0: None, lambda state: None)


def twin_of(graph: Graph, weights: Sequence[Weight], settings: Settings, team: Team) -> Twin:
    places = [place for each in weights for place in each.ids]
    return Twin(graph, device=team.device, floats=settings.floats, trained=places)


def trainer_of(job: Job, twin: Twin, teacher: Teacher, weights: Sequence[Weight], team: Team) -> Trainer:
    return Trainer(
        twin,
        teacher,
        weights,
        job.terms,
        learn=job.learn,
        judge=job.judge,
        settings=job.settings,
        device=team.device,
        team=team,
    )


def used_nodes(graph: Graph, twin: Twin, terms: Sequence[Term]) -> set[int]:
    """The ids of the nodes that a value which is compared depends on."""
    needed = {each.name for each in terms}
    used: set[int] = set()
    for node in reversed(graph.nodes):
        if id(node) not in twin.skipped and any(value.name in needed for value in node.outputs):
            used.add(id(node))
            needed |= {value.name for value in node.inputs}
    return used


def reached(graph: Graph, weights: Sequence[Weight], twin: Twin, terms: Sequence[Term]) -> list[Weight]:
    """The weights that a value which is compared depends on."""
    used = used_nodes(graph, twin, terms)
    found = [each for each in weights if any(place in used for place, _ in each.ids)]
    kept = {id(each) for each in found}
    return [each for each in found if each.factors is None or all(id(one) in kept for one in each.factors)]
