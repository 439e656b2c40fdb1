"""search.html in a real headless Chromium, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.report.record import Objective, Requirement
from vggc.trials.outcome import Outcome
from vggc.trials.page import search_page
from vggc.trials.record import Goal, SearchRecord

Open = Callable[..., Any]


def trial(number: int, seconds: float, share: float) -> Outcome:
    values = {"keep": f"{10 * number}%", "bits": "int8" if number % 2 else "float"}
    objectives = [
        Objective("s.opt:3", "minimize", "latency(batch=8)", "", "", seconds, 0.02, "seconds", 0.01),
        Objective("s.opt:4", "maximize", "agreement(test)", "", "", share, 1.0, "ratio"),
    ]
    return Outcome(number, values, "held", objectives, page=f"trials/{number:03}/report.html")


@pytest.fixture(scope="session")
def search_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search with trials that held and trials that did not."""
    gate = Requirement("s.opt:2", "agreement(test) >= 90%", "80.00%", ">= 90.00%", "failed", 0.8, 0.9, "ratio", 1)
    trials = [trial(number, 0.001 * (number + 1), 0.9 + 0.01 * number) for number in range(6)]
    trials += [
        Outcome(6, {"keep": "60%", "bits": "float"}, "gate", requirements=[gate], message="requirement not met: a")
    ]
    trials += [Outcome(7, {"keep": "70%", "bits": "int8"}, "error", message="<b>no</b>")]
    record = SearchRecord(
        {"path": "s.opt", "text": "# A recipe.\n", "sha256": "", "set": {}},
        {"path": "model.onnx"},
        {},
        {"keep": [f"{10 * number}%" for number in range(8)], "bits": ["int8", "float"]},
        [Goal("minimize", "latency(batch=8)", "seconds", 0.02), Goal("maximize", "agreement(test)", "ratio", 1.0)],
        trials,
        front=[0, 1, 2, 3, 4, 5],
        best=3,
        importances=[{"keep": 0.9, "bits": 0.1}, {"keep": 0.7, "bits": 0.3}],
        recipes={"best": "recipe.best.opt"},
        outputs={"3": "front/003"},
        finished=True,
    )
    path = tmp_path_factory.mktemp("search") / "search.html"
    path.write_text(search_page(record), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_plot_is_drawn(opened: Open, search_file: Path, scheme: str) -> None:
    report = opened(search_file, color_scheme=scheme)
    height = "document.getElementById('recipe').getBoundingClientRect().top + scrollY"
    before = report.page.evaluate(height)
    figures = report.plots()
    assert [each.get_attribute("data-plot") for each in figures.all()] == ["front", "parallel", "importance"]
    assert report.page.evaluate(height) == before
    for each in figures.all():
        assert each.locator("svg[role=img]").first.get_attribute("aria-label")
        assert each.locator("svg path, svg rect, svg line, svg circle").count() > 3


def test_a_point_shows_its_trial_and_leads_to_its_report(opened: Open, search_file: Path) -> None:
    (search_file.parent / "trials/003").mkdir(parents=True, exist_ok=True)
    (search_file.parent / "trials/003/report.html").write_text("<title>trial 3</title>")
    report = opened(search_file)
    front = report.plots().nth(0)
    # The best trial is drawn last, above all others.
    point = front.locator("circle").last
    point.hover()
    tip = front.locator("g text", has_text="trial 3").first
    assert "keep = 30%" in (tip.text_content() or "") and "agreement(test): 93%" in (tip.text_content() or "")
    point.click()
    report.page.wait_for_url("**/trials/003/report.html")


def test_the_table_has_what_the_plots_show(opened: Open, search_file: Path) -> None:
    page = opened(search_file).page
    rows = page.locator("#trials tbody tr").all_inner_texts()
    assert len(rows) == 8 and "best" in rows[3] and "4 ms" in rows[3] and "93.00%" in rows[3]
    assert "not met" in rows[6] and "failed" in rows[7]
    failures = page.locator("#failures tbody tr").all_inner_texts()
    assert any("<b>no</b>" in each for each in failures)
    assert any("80.00%, wanted >= 90.00%" in each for each in failures)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(opened: Open, search_file: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    report = opened(search_file, color_scheme=scheme)
    report.plots()
    results = axe.Axe().run(report.page)
    assert results.violations_count == 0, results.generate_report()
