"""Whole searches of a small model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vggc.cli.main import run
from vggc.diagnostics import Code, CompileError, RequirementNotMet
from vggc.pipeline.compile import compile_model
from vggc.trials.record import SearchRecord
from vggc.trials.trial import Work

RECIPE_GATE = "require cosine(samples) >= 0.2"


def without_times(record: SearchRecord) -> Any:
    """A record as JSON, without what differs between two runs of the same search."""
    content = json.loads(json.dumps(record.as_dict()))
    content["seconds"] = 0
    for each in [*content["trials"], *content["measured_again"]]:
        each.update(seconds=0, cached=0, saved=0)
    return content


def test_the_files_of_a_search(search: Any, work: Work) -> None:
    record = search()
    out = Path("out")
    assert json.loads((out / "search.json").read_text()) == json.loads(json.dumps(record.as_dict()))
    assert record.finished and len(record.trials) == 8
    assert record.trials[0].values == {"keep": "50%", "bits": "float"}
    assert sorted(each.name for each in (out / "front").iterdir()) == sorted(f"{each:03}" for each in record.front)
    assert all((out / each.page).is_file() for each in record.trials)
    numbers = [[each.value for each in trial.objectives] for trial in record.results]
    assert numbers == sorted(numbers) and len(numbers) > 1
    assert all(sum(shares.values()) == pytest.approx(1) for shares in record.importances)


def test_the_recipe_of_the_best_makes_its_model(search: Any) -> None:
    record = search()
    again = Work(Path("out/recipe.best.opt"), "", Path("model.onnx"))
    compile_model(again.bound({}), again.model, Path("again"))
    best = Path("out") / record.outputs[str(record.best)] / "model.onnx"
    written = Path("again/model.onnx").read_bytes()
    # The name of the recipe's file is in the nodes' metadata.
    assert written.replace(b"recipe.best.opt", b"search.opt").count(b"search.opt") > 0
    assert abs(len(written) - best.stat().st_size) < 200
    text = Path("out/recipe.best.opt").read_text()
    assert 'npz("../samples.npz")' in text and "# of the channels" in text
    assert f"param keep = {record.best_result.values['keep']} in 25%..100%" in text


def test_trials_share_steps(search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGC_CACHE", str(tmp_path / "cache"))
    # Graphs after fast steps are made again instead of kept.
    monkeypatch.setattr("vggc.pipeline.state.SLOW_SECONDS", 0.0)
    text = Path("search.opt").read_text().replace("25%..100%", "[50%]")
    first, second = search(text=text).trials
    assert (first.cached, first.steps) == (0, 1)
    assert (second.values["bits"], second.cached, second.steps) == ("fp16", 1, 2)
    assert second.saved > 0


def test_a_search_that_was_killed_ends_as_one_that_was_not(search: Any) -> None:
    whole = search("whole")

    class Killed(BaseException):
        pass

    def kill_at(number: int) -> Any:
        def ended(outcome: Any, count: int) -> None:
            if outcome.number == number:
                raise Killed

        return ended

    for number in (1, 5, 6):
        with pytest.raises(Killed):
            search("out", resume=True, ended=kill_at(number))
    resumed = search("out", resume=True)
    assert without_times(resumed) == without_times(whole)
    assert search("out", resume=True, trials=10).trials[:8] == resumed.trials


def test_a_search_that_is_another_one_does_not_go_on(search: Any) -> None:
    search(trials=3)
    with pytest.raises(CompileError, match="contains a search already") as caught:
        search()
    assert caught.value.diagnostics[0].code is Code.SEARCH
    with pytest.raises(CompileError, match="this is not the search of `out`") as caught:
        search(text=Path("search.opt").read_text().replace("0.2", "0.3"), seed=4, resume=True)
    assert [text.split(":")[0] for _, text in caught.value.diagnostics[0].facts] == ["recipe", "seed"]
    Path("other").mkdir()
    Path("other/file").touch()
    with pytest.raises(CompileError, match="contains other files"):
        search("other")
    Path("out/trials/000.json").write_text("{}")
    with pytest.raises(CompileError, match="cannot be read, so that the search cannot go on"):
        search(resume=True)


def test_goals_that_cannot_be_met(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("search.opt").read_text().replace(RECIPE_GATE, "require size <= 1KB")
    with pytest.raises(RequirementNotMet, match="no trial of 4 meets all requirements") as caught:
        search(text=text, trials=4)
    record = json.loads(Path("out/search.json").read_text())
    sizes = {each["number"]: each["requirements"][0]["value"] for each in record["trials"]}
    assert record["nearest"] == min(sizes, key=lambda each: sizes[each]) and record["best"] is None
    assert dict(caught.value.diagnostics[0].facts)["nearest"].startswith(f"trial {record['nearest']}: keep=")
    assert not Path("out/recipe.best.opt").exists() and Path("out/search.html").exists()
    assert run(["search", "search.opt", "model.onnx", "-o", "out", "--trials", "4", "--batch", "3", "--resume"]) == 3
    assert "no trial of 4 meets all requirements" in capsys.readouterr().err


def test_trials_that_fail_have_their_reasons(search: Any) -> None:
    text = Path("search.opt").read_text().replace("in [float, fp16]", "in [float, fp16, fp99]")
    text = text.replace("when bits == fp16 { cast(fp16) }", "when bits != float { cast(bits) }")
    text = text.replace("bits = float", "bits = fp16").replace("when bits != float { cast(bits) }", "cast(bits)")
    record = search(text=text, trials=6)
    failed = {each.values["bits"]: each.message for each in record.trials if each.state == "error"}
    assert failed and all("cannot be" in message for message in failed.values())
    assert "cannot be" in Path("out/search.html").read_text()


@pytest.mark.parametrize(("keep", "folders"), [("best", 1), ("all", 4)])
def test_what_is_kept(search: Any, keep: str, folders: int) -> None:
    record = search(trials=4, keep=keep)
    kept = sorted(each.name for each in Path("out/front").iterdir())
    assert len(kept) == folders and f"{record.best:03}" in kept
    assert sorted(record.outputs.values()) == [f"front/{each}" for each in kept]


def test_all_combinations(search: Any) -> None:
    text = Path("search.opt").read_text().replace("25%..100%", "[50%, 100%]")
    record = search(text=text, trials=20)
    assert len(record.trials) == 4 and record.notes == ["all 4 combinations have been tried"]


def test_no_trial_begins_after_the_time(search: Any) -> None:
    with pytest.raises(CompileError, match="no trial began after 0 minutes"):
        search(minutes=0)


def test_times_are_measured_again_at_the_end(search: Any) -> None:
    text = Path("search.opt").read_text().replace("minimize size", "minimize latency(batch=4)")
    record = search(text=text, trials=3, batch=1)
    again = {each.number: each.objectives[0] for each in record.measured_again}
    assert {*record.front} <= {*again}
    assert all(each.noise is not None and each.noise >= 0 for each in again.values())
    first = record.trials[0].objectives[0].first
    assert {each.first for each in again.values()} == {first} and first is not None


def test_wrong_words_on_the_command_line(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in [
        (["--on", "mars"], "trials cannot run on `mars`"),
        (["--on", "processes=0"], "trials cannot run on `processes=0`"),
        (["--resource", "GPU=1"], "trials on `here` take no resources"),
    ]:
        assert run(["search", "search.opt", "model.onnx", *words]) == 1
        assert message in capsys.readouterr().err
    assert run(["search", "search.opt", "model.onnx", "--resource", "GPU"]) == 2
    assert "--resource takes NAME=AMOUNT" in capsys.readouterr().err


def test_the_page_escapes_names(search: Any) -> None:
    text = Path("search.opt").read_text().replace("# of the channels", "# </script><b>")
    search(text=text, trials=3)
    page = Path("out/search.html").read_text()
    assert "</script><b>" not in page and "&lt;/script&gt;&lt;b&gt;" in page
