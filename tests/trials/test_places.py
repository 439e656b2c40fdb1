"""Trials in other processes, and on a Ray cluster of several nodes on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vggc.diagnostics import Code, CompileError
from vggc.trials.trial import Work

KILLS = '''\
"""A pass that ends its process the first time that a trial with this share of channels runs."""

import os
import signal
from pathlib import Path

from vggc.rewrite import Context, whole_graph
from vggc.graph import Graph
from vggc.values import Ratio


@whole_graph(exact=False, repeatable=False)
def die_once(graph: Graph, context: Context, at: Ratio, marker: str) -> None:
    """Kill the process when the marker does not exist."""
    path = Path(marker)
    if at == 0.5 and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    context.record("lived")
'''

STEP = "prune_channels(keep=keep, align=1)\n"


def fatal(folder: Path) -> str:
    """The recipe whose first trial loses its worker once."""
    Path("kills.py").write_text(KILLS)
    text = Path("search.opt").read_text().replace("param mark", 'use "kills.py"\nparam mark')
    return text.replace(STEP, f'die_once(at=keep, marker="{folder / "marker"}")\n{STEP}')


def suggestions(record: Any) -> list[Any]:
    return [(each.number, each.values, each.state, [o.value for o in each.objectives]) for each in record.trials]


def test_processes_find_the_same_and_replace_a_lost_one(search: Any, tmp_path: Path) -> None:
    text = fatal(tmp_path)
    Path("marker").touch()
    here = search("here", text, trials=5)
    Path("marker").unlink()
    there = search("there", text, trials=5, on="processes=2")
    assert Path("marker").exists()
    assert suggestions(there) == suggestions(here)
    assert there.front == here.front and len(there.outputs) == len(here.outputs) > 0


def test_a_worker_that_is_always_lost_ends_the_search(search: Any, tmp_path: Path) -> None:
    text = fatal(tmp_path).replace("not path.exists()", "True")
    Path("kills.py").write_text(KILLS.replace("not path.exists()", "True"))
    with pytest.raises(CompileError, match="the workers of trials 0 were lost 4 times") as caught:
        search("there", text, trials=1, batch=1, on="processes=1")
    assert caught.value.diagnostics[0].code is Code.PLACE


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of three nodes with a processor each, one of which has a device."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    utils = pytest.importorskip("ray.cluster_utils", reason="this ray has no clusters for tests")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1, resources={"device": 1})
    yield made
    ray.shutdown()
    made.shutdown()


Here = Callable[..., Any]


def test_a_cluster_finds_the_same_and_runs_a_lost_trial_again(cluster: Any, search: Any, tmp_path: Path) -> None:
    text = fatal(tmp_path)
    Path("marker").touch()
    here = search("here", text, trials=5)
    Path("marker").unlink()
    there = search("there", text, trials=5, on=f"ray={cluster.address}")
    assert Path("marker").exists()
    assert suggestions(there) == suggestions(here)
    assert there.front == here.front
    best = there.outputs[str(there.best)]
    assert (Path("there") / best / "model.onnx").is_file() and (Path("there") / there.trials[1].page).is_file()


def test_trials_go_where_their_resources_are(cluster: Any, search: Any, work: Work) -> None:
    Path("where.py").write_text(WHERE)
    text = Path("search.opt").read_text().replace("param mark", 'use "where.py"\nparam mark')
    text = text.replace("minimize size", "minimize has_no_device")
    record = search("there", text, trials=3, on=f"ray={cluster.address}", resources={"device": 1})
    assert [each.objectives[0].value for each in record.trials] == [0, 0, 0]
    with pytest.raises(CompileError, match="no node of the cluster has what a trial needs: CPU=1, device=2"):
        search("never", text, trials=1, on=f"ray={cluster.address}", resources={"device": 2})


WHERE = '''\
"""A measure of the node that a trial runs on."""

from vggc.measures import Subject, measure


@measure(better="lower", repeatable=False)
def has_no_device(subject: Subject) -> float:
    """0 on a node with a device, and 1 elsewhere."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    return 0.0 if any(each["NodeID"] == node and "device" in each["Resources"] for each in ray.nodes()) else 1.0
'''


def test_no_cluster_at_an_address(search: Any) -> None:
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(CompileError, match="there is no Ray cluster at `nowhere:1`"):
        search("there", trials=1, on="ray=nowhere:1")


def test_ray_is_not_installed(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(CompileError, match="a cluster needs the package `ray`") as caught:
        search("there", trials=1, on="ray")
    assert caught.value.diagnostics[0].help == "pip install ray"
    # The search may go on elsewhere.
    assert len(search("there", trials=1, resume=True).trials) == 1
    assert json.loads(Path("there/search.json").read_text())["settings"]["on"] == "here"
