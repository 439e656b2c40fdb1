"""Reports of real compilations, and a browser to look at them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vggc.binding import bind
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.pipeline.compile import compile_model

RECIPE = """\
# Prune, then fold.
param keep = 60%
data samples = npz("samples.npz")

prune_channels(macs=keep, data=samples)
fold_batch_norm
sensitivity(data=samples)
require agreement(samples) >= 1% else warn
require nodes <= 500
target onnx
"""

ROOT = Path(__file__).parents[2]

DIGITS = ROOT / "examples" / "digits"

Compile = Callable[..., Path]


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """In this block, compiles measure for the report, also those of recipes without data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGGC_MEASURE", "on")
        yield


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile a graph by the text of a recipe; the page of the report."""

    def run(graph: Graph, text: str, *, verify: Any = "end") -> Path:
        folder = tmp_path_factory.mktemp("report")
        graph.save(folder / "net.onnx")
        samples = np.random.default_rng(0).normal(size=(32, 3, 8, 8)).astype(np.float32)
        np.savez(folder / "samples.npz", x=samples)
        pipeline = bind(parse(Source(str(folder / "net.opt"), text)))
        with measuring():
            compile_model(pipeline, folder / "net.onnx", folder / "out", verify=verify)
        return folder / "out" / "report.html"

    return run


@pytest.fixture(scope="session")
def page_file(compiled: Compile, networks: ModuleType) -> Path:
    """The report of a residual network that was pruned and folded."""
    return compiled(networks.residual_blocks_with_projection(4), RECIPE)


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the example model, pruned, repaired and folded."""
    out = tmp_path_factory.mktemp("digits") / "out"
    text = (DIGITS / "prune.opt").read_text(encoding="utf-8")
    if find_spec("tensorrt_rtx") is None:
        text = text.partition("target tensorrt_rtx")[0]
    # Paths as one who works in a clone would give them: the page is shown in the documentation.
    with contextlib.chdir(ROOT):
        pipeline = bind(parse(Source("examples/digits/prune.opt", text)))
        with measuring():
            compile_model(pipeline, Path("examples/digits/digits_vgg.onnx"), out)
    return out / "report.html"


@pytest.fixture(scope="session")
def large_file(compiled: Compile, net: Any) -> Path:
    """The report of a model of more than 5,000 nodes, which has a branch at every third of them."""
    made = net()
    x = made.conv("x", 3, 4)
    weight = made.weight(4, 4, 1, 1)
    for _ in range(1667):
        y = made.op("Conv", x, weight)
        x = made.op("Add", made.op("Relu", y), x)
    return compiled(made.graph(x), "simplify\ntarget onnx\n", verify="off")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: the one on the path, else the one that `playwright install chromium` has brought."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    with api.sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        if not Path(path).is_file():
            pytest.skip("no Chromium: install it, or run `playwright install chromium`")
        # Containers let no program make the namespaces that Chromium's sandbox needs; these pages are our own.
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A report in a browser without a network, and everything that went wrong there."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        settings = {"viewport": {"width": 1280, "height": 900}, **context}
        self._context = browser.new_context(offline=True, **settings)
        self.page = self._context.new_page()
        # On a machine that does other work a page of 5,000 nodes takes longer than Playwright's 30 seconds.
        self.page.set_default_timeout(120_000)
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._requested(str(request.url)))
        self.page.goto(path.as_uri())

    def _requested(self, url: str) -> None:
        if not url.startswith("file:"):
            self.problems.append(f"request: {url}")

    def plots(self) -> Any:
        """Scroll through the page, so that every plot is drawn."""
        figures = self.page.locator("figure[data-plot]")
        for index in range(figures.count()):
            figures.nth(index).scroll_into_view_if_needed()
            figures.nth(index).locator("svg").first.wait_for()
        return figures

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Open a report. At the end nothing may have gone wrong in it: no error, no warning, no request."""
    pages: list[Opened] = []

    def open_(path: Path, **context: Any) -> Opened:
        pages.append(Opened(browser, path, **context))
        return pages[-1]

    yield open_
    for each in pages:
        each.close()
    assert [problem for each in pages for problem in each.problems] == []
