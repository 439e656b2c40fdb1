"""The number of threads: who asks for it, and that it ends with its block."""

from __future__ import annotations

import os
import threading

import pytest
from onnx import parser

from vggc.cache.environment import THREAD_VARIABLES
from vggc.execution.session import Session
from vggc.execution.threads import background, limited_threads, thread_limit
from vggc.graph import Graph

MODEL = '<ir_version: 10, opset_import: ["" : 21]> g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }'


def threads_of(session: Session) -> int:
    return int(session._session.get_session_options().intra_op_num_threads)


def test_sessions_have_the_threads_that_are_allowed() -> None:
    graph = Graph.from_model(parser.parse_model(MODEL))
    assert threads_of(Session(graph)) == 0
    with limited_threads(3):
        assert threads_of(Session(graph)) == 3
        assert threads_of(Session(graph, threads=1)) == 1
    assert threads_of(Session(graph)) == 0


def test_the_limit_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = THREAD_VARIABLES
    monkeypatch.setenv(first, "7")
    for name in others:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ZeroDivisionError), limited_threads(2):
        assert thread_limit() == 2
        assert {os.environ[name] for name in THREAD_VARIABLES} == {"2"}
        with limited_threads(None):
            assert thread_limit() == 2
        raise ZeroDivisionError
    assert thread_limit() is None
    assert os.environ[first] == "7"
    assert not any(name in os.environ for name in others)


@pytest.mark.parametrize(("limit", "beside"), [(1, False), (2, True), (None, True)])
def test_work_in_the_background_has_a_thread_where_one_is_left(limit: int | None, beside: bool) -> None:
    with limited_threads(limit), background("test") as pool:
        own = pool.submit(threading.get_ident).result() == threading.get_ident()
        failed = pool.submit(int, "x")
    assert own is not beside
    with pytest.raises(ValueError, match="invalid literal"):
        failed.result()
