"""What all tests share: `--bless`, and the reason why `gpu` tests are skipped."""

from __future__ import annotations

import os

# Set before numpy is loaded. The threads of OpenBLAS wait for each other busily: beside other work, small products took
# ten times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cProfile
import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, settings

from vggc.binding.modules import import_file
from vggc.binding.registry import Registry
from vggc.data import Loader
from vggc.diagnostics import Code, CompileError, render
from vggc.measures import Measure
from vggc.rewrite import Pass
from vggc.targets.contract import Target

# No test fails because a machine is slow.
settings.register_profile("vggc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vggc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless",
        action="store_true",
        help="rewrite the expected half of fixture files with what the code gives now; read the diff before you commit",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("bless") and os.environ.get("CI"):
        raise pytest.UsageError("--bless is refused where CI is set: what is expected is decided by a person")
    # Neither does a test see what another run has found, nor does one write to the user's cache folder; tests of the
    # cache have a folder of their own. Set here so that processes that tests start inherit it.
    os.environ["VGGC_CACHE"] = "off"
    # Lines about the work would stand between the messages that tests compare; tests of them set this themselves.
    os.environ["VGGC_PROGRESS"] = "off"
    # What is measured for the report alone takes longer than most compiles of tests; tests of the report measure.
    os.environ["VGGC_MEASURE"] = "off"


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether this run may rewrite the expected half of fixtures."""
    return bool(request.config.getoption("bless"))


class Refused(Protocol):
    """See `refused`."""

    def __call__(self, text: str, code: Code | None = None) -> AbstractContextManager[None]: ...


@pytest.fixture
def refused() -> Refused:
    """`with refused(text):` expects a CompileError inside, whose messages as the terminal shows them are `text`.

    With a code, all of its messages have it.
    """

    @contextmanager
    def expect(text: str, code: Code | None = None) -> Iterator[None]:
        with pytest.raises(CompileError) as caught:
            yield
        assert "\n".join(render(each) for each in caught.value.diagnostics) == text
        assert code is None or {each.code for each in caught.value.diagnostics} == {code}

    return expect


CountCalls = Callable[[Callable[[], object]], int]


@pytest.fixture
def count_calls() -> CountCalls:
    """How many functions a piece of work calls, those of Python and of C: what it costs on any machine."""

    def count(work: Callable[[], object]) -> int:
        profile = cProfile.Profile()
        profile.runcall(work)
        return sum(entry.callcount for entry in profile.getstats())

    return count


@pytest.fixture(scope="session")
def vocabulary() -> Registry:
    """Passes, loaders, measures and targets to bind recipes with; what vggc ships may change, these stay."""
    module = import_file(Path(__file__).parent / "binding" / "vocabulary.py")
    things = vars(module).values()
    return Registry(
        passes={each.name: each for each in things if isinstance(each, Pass)},
        loaders={each.name: each for each in things if isinstance(each, Loader)},
        measures={each.name: each for each in things if isinstance(each, Measure)},
        targets={each.name: each for each in things if isinstance(each, Target)},
    )


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """tests/networks.py: a network of each kind that people prune, by function."""
    return import_file(Path(__file__).parent / "networks.py")


@pytest.fixture(scope="session")
def net(networks: ModuleType) -> Any:
    """The class that networks of a test's own are written with."""
    return networks.Net


@cache
def missing_gpu() -> str:
    """Why no NVIDIA GPU can be used on this machine; empty where one can.

    Asks the driver itself (`cuInit`, `cuDeviceGetCount` of the CUDA driver API), which needs no Python package.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return f"no NVIDIA driver: {name} cannot be loaded"
    status = driver.cuInit(0)
    if status != 0:
        return f"the NVIDIA driver does not start: cuInit gives CUDA error {status}"
    count = ctypes.c_int(0)
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0:
        return f"the NVIDIA driver counts no GPUs: cuDeviceGetCount gives CUDA error {status}"
    return "" if count.value else "the NVIDIA driver finds no GPU"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and (reason := missing_gpu()):
        pytest.skip(f"needs an NVIDIA GPU: {reason}")
