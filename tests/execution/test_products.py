"""The threads of numpy's products: one for small ones, all for large ones, and as before behind the block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from threadpoolctl import ThreadpoolController

from vggc.execution.products import large_product, small_products

Numbers = Callable[[], set[int]]


@pytest.fixture
def numbers() -> Iterator[Numbers]:
    """The numbers of threads of all libraries of linear algebra in this process, which begin with two."""
    libraries = ThreadpoolController().select(user_api="blas")
    with libraries.limit(limits=2):
        yield lambda: {each.num_threads for each in libraries.lib_controllers}


def test_small_products_have_one_thread_and_large_ones_all(numbers: Numbers) -> None:
    assert numbers() == {2}
    with small_products():
        assert numbers() == {1}
        with large_product(1e12):
            assert numbers() == {2}
        with large_product(1e6):
            assert numbers() == {1}
    assert numbers() == {2}


def test_a_large_product_outside_changes_nothing(numbers: Numbers) -> None:
    with large_product(1e12):
        assert numbers() == {2}
    assert numbers() == {2}


def test_blocks_that_overlap_end_with_the_last(numbers: Numbers) -> None:
    with ExitStack() as later, ExitStack() as earlier:
        earlier.enter_context(small_products())
        later.enter_context(small_products())
        earlier.close()
        assert numbers() == {1}
        later.close()
        assert numbers() == {2}


def test_an_error_ends_the_block(numbers: Numbers) -> None:
    with pytest.raises(ZeroDivisionError), small_products(), large_product(1e12):
        raise ZeroDivisionError
    assert numbers() == {2}
