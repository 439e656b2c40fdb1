"""How many threads the program may use: set once by the command line, and asked by every session and pool."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Final, ParamSpec, TypeVar, cast

from vggc.cache.environment import THREAD_VARIABLES
from vggc.execution.variables import environment_variables

_Item = TypeVar("_Item")
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

_limit: int | None = None


def thread_limit() -> int | None:
    """The number of threads for all work together; None when every library chooses it, usually one for each core."""
    return _limit


@contextmanager
def limited_threads(count: int | None) -> Iterator[None]:
    """Allow `count` threads in this block, 1 or more; None changes nothing.

    The libraries under numpy read their number when numpy is loaded, so the block has to begin before that. Processes
    that are started in the block inherit it.
    """
    global _limit  # noqa: PLW0603 - a number of the whole process, like the threads themselves
    if count is None:
        yield
        return
    limit_before, _limit = _limit, count
    try:
        with environment_variables(dict.fromkeys(THREAD_VARIABLES, str(count))):
            yield
    finally:
        _limit = limit_before


def background(name: str) -> Executor:
    """A pool of one thread beside the caller's own. Where only one thread is allowed, the caller does the work."""
    return _AtOnce() if _limit == 1 else ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def workers(name: str, most: int) -> Executor:
    """A pool of as many threads as are allowed, up to `most`. Where only one is, the caller does the work.

    When its block ends with an error or an interrupt, work that has not begun is dropped.
    """
    count = _allowed(most)
    return _AtOnce() if count == 1 else _Workers(max_workers=count, thread_name_prefix=name)


def _allowed(most: int) -> int:
    return min(_limit or os.cpu_count() or 1, most)


def ahead(name: str, items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items in order: the next one is made in a thread of its own while the caller works with the last one.

    Where only one thread is allowed, each is made when it is asked for.
    """
    if _limit == 1:
        yield from items
        return
    source = iter(items)
    with background(name) as beside:
        waiting = beside.submit(next, source, _END)
        while (item := waiting.result()) is not _END:
            waiting = beside.submit(next, source, _END)
            yield cast("_Item", item)


def side_by_side(name: str, work: Callable[[_Item], _Result], items: Iterable[_Item], most: int) -> Iterator[_Result]:
    """What `work` makes of each item, in order, up to `most` of them at the same time; as many items are held."""
    most = _allowed(most)
    with workers(name, most) as pool:
        waiting: deque[Future[_Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_END: Final = object()


class _Workers(ThreadPoolExecutor):
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown(cancel_futures=kind is not None)


class _AtOnce(Executor):
    """Does the work when it is submitted."""

    def submit(
        self, work: Callable[_Given, _Result], /, *arguments: _Given.args, **options: _Given.kwargs
    ) -> Future[_Result]:
        done: Future[_Result] = Future()
        try:
            done.set_result(work(*arguments, **options))
        except Exception as error:  # noqa: BLE001 - `result()` raises it, as it does for a pool
            done.set_exception(error)
        return done
