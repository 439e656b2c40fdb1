"""The threads of numpy's products: one for small ones, all for large ones, and as before behind the block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from vggc.execution import products
from vggc.execution.products import large_product, small_products


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threadpool_limits(limits=2, user_api="blas"):
        yield


def numbers() -> set[int]:
    """Of threads, of the libraries that are set; other tests may have loaded others."""
    return {each.num_threads for each in products._libraries._found}


def test_small_products_have_one_thread_and_large_ones_all() -> None:
    assert numbers() == {2}
    with small_products():
        assert numbers() == {1}
        with large_product(1e12):
            assert numbers() == {2}
        with large_product(1e6):
            assert numbers() == {1}
    assert numbers() == {2}


def test_a_large_product_outside_changes_nothing() -> None:
    with large_product(1e12):
        assert numbers() == {2}
    assert numbers() == {2}


def test_blocks_that_overlap_end_with_the_last() -> None:
    first, second = small_products(), small_products()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert numbers() == {1}
    second.__exit__(None, None, None)
    assert numbers() == {2}


def test_an_error_ends_the_block() -> None:
    with pytest.raises(ZeroDivisionError), small_products(), large_product(1e12):
        raise ZeroDivisionError
    assert numbers() == {2}
