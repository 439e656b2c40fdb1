"""report.html in a real headless Chromium, without a network: it opens, sorts, draws, and needs no mouse."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Open = Callable[..., Any]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_plot_is_drawn(opened: Open, page_file: Path, scheme: str) -> None:
    report = opened(page_file, color_scheme=scheme)
    height = "document.getElementById('graph').getBoundingClientRect().top + scrollY"
    before = report.page.evaluate(height)
    figures = report.plots()
    assert figures.count() == 6
    # What stands below does not move when plots are drawn, so that no click misses.
    assert report.page.evaluate(height) == before
    for index in range(6):
        drawing = figures.nth(index).locator("svg[role=img]")
        assert drawing.get_attribute("aria-label")
        assert drawing.locator("path, rect, line, circle").count() > 3
    ink = report.page.evaluate("getComputedStyle(document.body).color")
    paper = report.page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = {name: sum(map(int, value[4:-1].split(","))) for name, value in (("ink", ink), ("paper", paper))}
    assert (bright["ink"] > bright["paper"]) is (scheme == "dark")


def test_the_theme_can_be_chosen(opened: Open, page_file: Path) -> None:
    page = opened(page_file, color_scheme="light").page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light
    button.click()
    assert button.inner_text() == "Theme: dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    button.click()
    assert page.evaluate("document.documentElement.dataset.theme") is None


def test_tables_sort(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    table = page.locator("#widths table")
    kept = table.get_by_role("button", name="kept")

    def shares() -> list[int]:
        return [int(each.rstrip("%")) for each in table.locator("tbody tr td:nth-child(5)").all_inner_texts()]

    given = shares()
    kept.click()
    assert shares() == sorted(given)
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    kept.click()
    assert shares() == sorted(given, reverse=True)
    table.get_by_role("button", name="node").click()
    assert table.locator("th[aria-sort]").count() == 1


def test_it_needs_no_mouse(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    press = page.keyboard.press
    press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    # The links at the top lead past the tables, whose rows have buttons.
    page.get_by_role("navigation").get_by_role("link", name="Graph").focus()
    press("Enter")
    for _ in range(100):
        press("Tab")
        if page.evaluate("document.activeElement.matches('details.graph > summary')"):
            break
    press("Enter")
    page.locator("details.graph li").first.wait_for()
    press("Tab")
    assert page.evaluate("document.activeElement.type") == "search"
    press("Tab")
    press("ArrowDown")
    first = page.evaluate("document.activeElement.textContent")
    assert first.startswith("Conv")
    press("End")
    assert page.evaluate("document.activeElement.textContent").startswith("Gemm")
    press("Enter")
    page.locator("details.graph").nth(1).locator("li").first.wait_for()
    twin = "document.activeElement.closest('details.graph').dataset.graph"
    assert page.evaluate(twin) == "1"
    assert page.evaluate("document.activeElement.textContent").startswith("Gemm")
    press("Home")
    press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.at") == "1"


def test_nodes_are_found(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    compiled = page.locator("details.graph").nth(1)
    compiled.locator("summary").click()
    compiled.locator("li").first.wait_for()
    everything = compiled.locator("li").count()
    compiled.get_by_role("searchbox").fill("conv net.opt:6")
    compiled.locator("li").first.wait_for()
    found = compiled.locator("li").count()
    assert 0 < found < everything
    assert compiled.get_by_role("status").inner_text() == f"{found} of {everything} nodes"
    assert all(each.startswith("Conv") for each in compiled.locator("li .op").all_inner_texts())


def test_nodes_of_one_model_only_are_marked(opened: Open, page_file: Path) -> None:
    page = opened(page_file).page
    marked = []
    for side, mark in ((0, "gone"), (1, "new")):
        graph = page.locator("details.graph").nth(side)
        graph.locator("summary").click()
        graph.locator("li").first.wait_for()
        marked.append(
            graph.locator("li", has=page.locator(f".badge:text-is('{mark}')")).locator(".op").all_inner_texts()
        )
    # Folding takes the batch norms; the convolutions stay, though they compute other values.
    assert (set(marked[0]), marked[1]) == ({"BatchNormalization"}, [])


def test_it_prints(opened: Open, page_file: Path) -> None:
    report = opened(page_file, color_scheme="dark")
    report.page.emulate_media(media="print")
    assert not report.page.locator("header").is_visible()
    report.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert report.page.locator("figure svg[role=img]").count() == 6
    assert (
        report.page.locator("details:not(.graph)[open]").count() == report.page.locator("details:not(.graph)").count()
    )
    assert report.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert report.page.pdf(format="A4").startswith(b"%PDF")


def test_of_5000_nodes_only_those_in_view_are_made(opened: Open, large_file: Path) -> None:
    report = opened(large_file)
    report.page.locator("h1").wait_for()
    graph = report.page.locator("details.graph").first
    graph.locator("summary").click()
    graph.locator("li").first.wait_for()
    # Rows far below are not there yet, and come when one goes there.
    assert graph.locator("li").count() < 1000
    graph.locator("li").first.click()
    report.page.keyboard.press("End")
    assert report.page.evaluate("document.activeElement.textContent").startswith("Add")
    report.plots()


def picture(page: Any, file: Path) -> None:
    """What the window shows, in 256 colours."""
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(file, optimize=True)


def test_its_pictures_for_the_documentation(
    opened: Open, bless: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Taken anew with --bless, of the example's report. Fonts and the browser's version change their bytes, so that no
    bytes are compared, and any report will do.
    """
    file = request.getfixturevalue("digits_file" if bless else "page_file")
    page = opened(file, color_scheme="light", viewport={"width": 1280, "height": 1560})
    page.plots()
    folder = ROOT / "docs/images" if bless else tmp_path
    page.page.evaluate("scrollTo(0, 0)")
    picture(page.page, folder / "report.png")
    dark = opened(file, color_scheme="dark", viewport={"width": 1280, "height": 760})
    dark.plots()
    for each in dark.page.locator("details.graph summary").all():
        each.click()
    dark.page.locator("details.graph li").last.wait_for()
    dark.page.evaluate("document.getElementById('graph').scrollIntoView()")
    picture(dark.page, folder / "report_graph.png")
    for name in ("report.png", "report_graph.png"):
        with Image.open(ROOT / "docs/images" / name) as kept, Image.open(folder / name) as taken:
            assert kept.size == taken.size


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(opened: Open, page_file: Path, scheme: str) -> None:
    """axe-core's rules: contrast, names, roles, landmarks, order of headings, and whether keys reach everything."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    report = opened(page_file, color_scheme=scheme)
    report.plots()
    for each in report.page.locator("summary").all():
        each.click()
    report.page.locator("details.graph li").last.wait_for()
    found = axe.Axe().run(report.page).response
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    assert len(found["passes"]) > 30
