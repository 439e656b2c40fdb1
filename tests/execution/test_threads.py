"""The number of threads: who asks for it, and that it ends with its block."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from onnx import parser

from vggc.cache.environment import THREAD_VARIABLES
from vggc.execution.session import Session
from vggc.execution.threads import ahead, background, limited_threads, side_by_side, thread_limit, workers
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


@pytest.mark.parametrize(("limit", "most", "wanted"), [(1, 4, 1), (2, 4, 2), (8, 2, 2)])
def test_work_is_shared_by_as_many_threads_as_are_allowed(limit: int, most: int, wanted: int) -> None:
    meeting = threading.Barrier(wanted, timeout=20)

    def meet(_: int) -> int:
        meeting.wait()
        return threading.get_ident()

    with limited_threads(limit), workers("test", most) as pool:
        found = [each.result() for each in [pool.submit(meet, index) for index in range(wanted)]]
    assert len(set(found)) == wanted


def test_work_that_waits_is_dropped_when_an_error_ends_the_block() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        begun.release()
        go_on.wait(20)
        done.append(number)

    with limited_threads(2), pytest.raises(ZeroDivisionError), workers("test", 2) as pool:
        for number in range(20):
            pool.submit(work, number)
        for _ in range(2):
            assert begun.acquire(timeout=20)
        threading.Timer(0.2, go_on.set).start()
        raise ZeroDivisionError
    assert sorted(done) == [0, 1]


@pytest.mark.parametrize("limit", [1, 2])
def test_items_made_ahead_come_in_order(limit: int) -> None:
    with limited_threads(limit):
        assert list(ahead("test", iter(range(5)))) == [0, 1, 2, 3, 4]
        assert list(ahead("test", [])) == []


def test_the_next_item_is_made_while_the_caller_works_on_the_last() -> None:
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for index in range(3):
            made.release()
            yield index

    with limited_threads(2):
        for index in ahead("test", items()):
            # The item behind this one is there, or the items have come to an end.
            assert made.acquire(timeout=20)
            assert index == 2 or made.acquire(timeout=20)
            made.release()


@pytest.mark.parametrize("limit", [1, 2])
def test_what_fails_ahead_fails_in_its_turn(limit: int) -> None:
    with limited_threads(limit):
        found = ahead("test", (1 // each for each in (1, 0)))
        assert next(found) == 1
        with pytest.raises(ZeroDivisionError):
            next(found)


@pytest.mark.parametrize(("limit", "wanted"), [(1, 1), (3, 2)])
def test_work_side_by_side_comes_in_order(limit: int, wanted: int) -> None:
    meeting = threading.Barrier(wanted, timeout=20)

    def square(number: int) -> int:
        meeting.wait()
        return number**2

    with limited_threads(limit):
        assert list(side_by_side("test", square, range(6), 2)) == [0, 1, 4, 9, 16, 25]
