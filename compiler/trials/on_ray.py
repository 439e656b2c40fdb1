"""Trials as tasks of a Ray cluster: https://docs.ray.io.

The model, the recipe and its data are put into Ray's object store once, and go to each node once. Ray runs a task again
when its worker or its node is lost, and places tasks by the resources that they need.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vggc.cache import VARIABLE
from vggc.cache.environment import code_hash
from vggc.cache.folder import SIZE_VARIABLE
from vggc.data.arrays import ArrayDataset
from vggc.diagnostics import Code, CompileError, fail, first_line
from vggc.diagnostics.packages import RAY
from vggc.execution.threads import limited_threads, thread_limit
from vggc.graph import Graph
from vggc.graph.packed_graph import weight_files
from vggc.pipeline.dependencies import imported_files
from vggc.trials.outcome import Outcome
from vggc.trials.places import TRIES, lost
from vggc.trials.trial import Job, Work, run_job


@dataclass(frozen=True)
class Bundle:
    """All that a worker needs, by value: files by their paths in a folder, and the arrays of data sets by name."""

    work: Work
    code: str
    files: Mapping[str, Any]
    data: Mapping[str, tuple[Mapping[str, Any], Any, str]]

    @property
    def key(self) -> str:
        """A hash of the files."""
        digest = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            digest.update(f"{path} {len(content)} ".encode())
            digest.update(content)
        return digest.hexdigest()


class RayCluster:
    """Runs trials on a cluster: the one at `address`, or a new one on this machine."""

    def __init__(self, works: Sequence[Work], address: str | None, resources: Mapping[str, float]) -> None:
        self._ray = import_ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            names = [name for name in (VARIABLE, SIZE_VARIABLE) if name in os.environ]
            environment = {"env_vars": {name: os.environ[name] for name in names}}
            settings: dict[str, Any] = {"include_dashboard": False} if address is None else {"address": address}
            _check_address(address)
            try:
                self._ray.init(**settings, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise _no_cluster(address, error) from None
        threads = thread_limit() or 1
        self._needs = {"num_cpus": threads, **_needs(resources)}
        self._check_resources()
        self._threads = threads
        self._bundles = [self._ray.put(bundle_of(each)) for each in works]
        self._task = self._ray.remote(_run).options(max_retries=TRIES - 1, **self._needs)

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        running = {self._task.remote(self._bundles[job.work], self._threads, job): job for job in jobs}
        while running:
            ended, _ = self._ray.wait(list(running), num_returns=1)
            job = running.pop(ended[0])
            try:
                outcome, files = self._ray.get(ended[0])
            except self._ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
            except self._ray.exceptions.RayError:
                raise lost([job.number]) from None
            _place_files(job.folder.parent, files)
            yield outcome

    def close(self) -> None:
        if self._own:
            self._ray.shutdown()

    def _check_resources(self) -> None:
        """Raise CompileError when no node has what a trial needs, which would wait for ever."""
        wanted = {"CPU": self._needs["num_cpus"], "GPU": self._needs.get("num_gpus", 0), **self._needs["resources"]}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
            needs = ", ".join(f"{name}={amount:g}" for name, amount in wanted.items() if amount)
            known = sorted({name for node in nodes for name in node if not name.startswith("node:")})
            raise fail(
                f"no node of the cluster has what a trial needs: {needs}",
                facts=(("resources", ", ".join(f"`{each}`" for each in known)),),
                help="ask for less with `--threads` and `--resource`",
                code=Code.PLACE,
            )


def _check_address(address: str | None) -> None:
    """Raise CompileError when nothing answers at `HOST:PORT`. Ray would try for minutes."""
    place = re.fullmatch(r"(?:ray://)?(.+):(\d{1,5})", address or "")
    if place is None:
        return
    try:
        socket.create_connection((place[1].strip("[]"), int(place[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from None


def _no_cluster(address: str | None, error: Exception) -> CompileError:
    help = "write `ray` for a new cluster on this machine, `ray=auto`, `ray=HOST:PORT` or `ray=ray://HOST:PORT`"
    return fail(f"there is no Ray cluster at `{address}`: {first_line(error)}", help=help, code=Code.PLACE)


def import_ray() -> Any:
    """The package ray. Raises CompileError when it is not installed."""
    try:
        # Ray reads this when it is loaded. Otherwise it sends statistics about its use.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError:
        raise fail(
            "a cluster needs the package `ray`, which is not installed", help=RAY.command, code=Code.MISSING_PACKAGE
        ) from None
    return ray


def bundle_of(work: Work) -> Bundle:
    """The bundle of a search. Reads all samples of its data."""
    pipeline = work.bound({})
    files: dict[str, Any] = {f"model/{work.model.name}": _content(work.model)}
    graph = Graph.load(work.model)
    folder = work.model.parent.resolve()
    for path in weight_files(graph, work.model):
        files[f"model/{path.relative_to(folder).as_posix()}"] = _content(path)
    recipe = work.recipe
    if recipe is not None and recipe.is_file():
        sources = [recipe.resolve(), *(path.resolve() for path in pipeline.files if path.is_file())]
        sources += [path.resolve() for path in imported_files(each for each in sources if each.suffix == ".py")]
        base = Path(os.path.commonpath([each.parent for each in sources]))
        for path in sources:
            files[f"recipe/{path.relative_to(base).as_posix()}"] = _content(path)
        recipe = Path("recipe") / sources[0].relative_to(base)
    data = {}
    for name, bound in pipeline.data.items():
        loaded = bound.load()
        (whole,) = loaded.batches(max(1, len(loaded)))
        data[name] = (whole, loaded.labels, loaded.description)
    shared = replace(work, recipe=recipe, model=Path("model") / work.model.name, data={})
    shared = replace(shared, name=work.name or str(work.model))
    return Bundle(shared, code_hash(), files, data)


def _content(path: Path) -> Any:
    return np.fromfile(path, dtype=np.uint8)


def _needs(resources: Mapping[str, float]) -> dict[str, Any]:
    others = {name: amount for name, amount in resources.items() if name != "GPU"}
    return {"num_gpus": resources["GPU"], "resources": others} if "GPU" in resources else {"resources": others}


def _place_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a trial that a worker has returned, in place of those of an earlier one."""
    for name in {Path(each).parts[0] for each in files}:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# --- in a worker -------------------------------------------------------------------------------------------


def _run(bundle: Bundle, threads: int, job: Job) -> tuple[Outcome, dict[str, bytes]]:
    """Run a trial. Returns its outcome, and the files of its folder by their paths from the folder above it."""
    if bundle.code != code_hash():
        raise fail(
            "a node of the cluster has another version of vggc",
            help="install the same version on all nodes",
            code=Code.PLACE,
        )
    base = _unpacked(bundle)
    data = {}
    for name, (arrays, labels, description) in bundle.data.items():
        data[name] = ArrayDataset(dict(arrays), None if labels is None else labels, description)
    work = bundle.work
    recipe = work.recipe if work.recipe is None or not (base / work.recipe).exists() else base / work.recipe
    work = replace(work, recipe=recipe, model=base / work.model, data=data)
    with tempfile.TemporaryDirectory(prefix="vggc-trial-") as folder, limited_threads(threads):
        above = Path(folder) / job.folder.parent.name
        outcome = run_job(work, replace(job, folder=above / job.folder.name))
        paths = [each for each in above.rglob("*") if each.is_file()]
        return outcome, {each.relative_to(above).as_posix(): each.read_bytes() for each in paths}


def _unpacked(bundle: Bundle) -> Path:
    """The folder of this node with the files of a bundle. The first task on the node makes it."""
    folder = Path(tempfile.gettempdir()) / f"vggc-{os.getuid() if hasattr(os, 'getuid') else 'user'}-{bundle.key[:16]}"
    if not folder.is_dir():
        made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
        for name, content in bundle.files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(content))
        try:
            made.rename(folder)
        except OSError:
            # Another task of this node was faster.
            shutil.rmtree(made, ignore_errors=True)
    return folder
