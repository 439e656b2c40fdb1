"""The graphs of a page in a real headless Chromium: blocks, facts, colours, search, and the lights of a recipe line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.cli.main import run

Open = Callable[..., Any]


def drawn(page: Any) -> None:
    """Wait until the graphs are drawn."""
    page.locator("#graph").scroll_into_view_if_needed()
    for flow in page.locator(".flow").all():
        flow.locator("svg .box").first.wait_for()


def test_a_click_on_a_recipe_line_lights_its_nodes(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    drawn(page)
    page.locator("tr[data-line='net.opt:6'] button").click()
    lit = [flow.locator(".lit .op").all_text_contents() for flow in page.locator(".flow").all()]
    # Folding has changed eight convolutions, which stand for eight convolutions and their batch norms.
    assert lit[1] == ["Conv"] * 8
    assert sorted(lit[0]) == ["BatchNormalization"] * 8 + ["Conv"] * 8
    assert page.locator("#lit").inner_text().startswith("net.opt:6 made or changed 8 nodes")
    assert page.locator(".flow").first.locator(".gone.lit").count() == 8
    page.locator(".flow").first.locator(".gone").first.click()
    facts = page.locator("#node").inner_text()
    assert "BatchNormalization" in facts and "in the compiled model\nConv" in facts


def test_a_click_on_a_node_shows_its_facts(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    drawn(page)
    compiled = page.locator(".flow").nth(1)
    compiled.locator(".box").first.click()
    facts = page.locator("#node dl")
    terms = dict(zip(facts.locator("dt").all_inner_texts(), facts.locator("dd").all_inner_texts(), strict=False))
    assert terms["made by"] == "line net.opt:6 (fold_batch_norm)"
    assert terms["changed before by"] == "line net.opt:5"
    assert terms["attributes"] == "group = 1; pads = [1, 1, 1, 1]" and "MACs" in terms
    assert "standard deviation" in terms["weight"]
    # The node before it in the model as read is chosen there too.
    assert page.locator(".flow").first.locator(".chosen").count() >= 1
    page.locator("#node dt:text-is('read by') + dd button").first.click()
    assert "Relu" in page.locator("#node .title").inner_text()


def test_nodes_are_coloured_and_found(opened: Open, page_file: Path) -> None:
    page = opened(page_file, viewport={"width": 390, "height": 800}, color_scheme="dark").page
    drawn(page)
    page.get_by_label("Colour").select_option("macs")
    fills = page.locator(".box").evaluate_all("boxes => boxes.map((each) => each.style.getPropertyValue('--fill'))")
    assert len(set(fills)) > 3
    assert page.locator("#legend").inner_text().strip()
    page.locator("#find").fill("gemm")
    assert page.locator("#lit").inner_text() == "2 nodes"
    page.locator("#find").press("Enter")
    assert page.locator("#node .title").inner_text().startswith("Gemm")
    # A phone shows one drawing below the other, and nothing is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # The links to the sections take a few lines at the top, and go away with them.
    page.evaluate("scrollTo(0, 2000)")
    assert page.evaluate("document.querySelector('header').getBoundingClientRect().bottom") < 0


@pytest.mark.parametrize("nodes", [24, 500, 5000])
def test_graphs_of_every_size(opened: Open, net: Any, tmp_path: Path, nodes: int) -> None:
    """Light and dark, on a screen, a phone and paper: readable, without a barrier, and never all nodes at once."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    made = net()
    x = made.conv("x", 3, 4)
    weight = made.weight(4, 4, 1, 1)
    for _ in range(nodes // 3):
        x = made.op("Add", made.op("Relu", made.op("Conv", x, weight)), x)
    made.graph(x).save(tmp_path / "net.onnx")
    assert run(["view", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "net.html")]) == 0
    assert (tmp_path / "net.html").stat().st_size < 6_000_000
    page = opened(tmp_path / "net.html", color_scheme="light").page
    page.locator("svg g").first.wait_for()
    assert 20 <= page.locator("svg g").count() < 100
    page.locator("#find").fill("relu")
    assert page.locator("#lit").inner_text() == f"{nodes // 3} nodes"
    page.locator("#find").press("Enter")
    # The blocks around the node are open now, and the node is in sight.
    assert page.locator(".chosen.box").is_visible()
    pictures = {page.screenshot()}
    for scheme, width in (("dark", 1280), ("dark", 390)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        pictures.add(page.screenshot())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    violations = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    page.get_by_role("button", name="Close all blocks").click()
    assert page.locator(".box").count() == (0 if nodes > 60 else nodes + 1)
    page.emulate_media(media="print")
    pictures.add(page.pdf(format="A4"))
    assert len(pictures) == 4


def test_the_slowest_node_and_the_one_that_lost_most_are_one_click_away(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    for section, title in (("time", "Compiled: the time of each kernel, the slowest first"), ("accuracy", "Nodes of")):
        table = page.locator(f"#{section} table").first
        assert table.locator("caption").inner_text().startswith(title)
        first = table.locator("tbody tr").first
        name = first.locator("button").inner_text().split()[-1]
        first.locator("button").click()
        assert name in page.locator("#node .title").inner_text()
        assert page.locator(".flow").nth(1).locator(".chosen").count() == 1
    facts = page.locator("#node").inner_text()
    assert "lost here" in facts and "error (SQNR)" in facts
    assert "prune_channels (net.opt:5) left" in page.locator("#accuracy table").first.inner_text()
    assert page.locator(".cards").inner_text().startswith("time on this CPU")
