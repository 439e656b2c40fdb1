"""All measurements of these tests use one thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vggc.execution.threads import limited_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with limited_threads(1):
        yield
