"""What the language server answers about a text and an offset in it; `^` in a text marks the offset."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from vggc.diagnostics import Code
from vggc.lsp.actions import fixes
from vggc.lsp.completion import complete
from vggc.lsp.hover import hover
from vggc.lsp.navigation import definition
from vggc.lsp.recipe_text import RecipeText


def marked(folder: Path, text: str, *, python: bool = False) -> tuple[RecipeText, int]:
    before, _, after = text.partition("^")
    return RecipeText(folder / "my.opt", before + after, python), len(before)


def proposed(folder: Path, text: str, model: Path | None = None) -> list[str]:
    return [each.text for each in complete(*marked(folder, text), model)]


# --- messages


def test_messages_are_those_of_check(tmp_path: Path) -> None:
    recipe, _ = marked(tmp_path, "fold_batchnorm\ntarget onnx\n")
    assert [(each.code, each.severity) for each in recipe.messages] == [(Code.UNKNOWN_PASS, "error")]
    assert recipe.errors == 1
    recipe, _ = marked(tmp_path, "param keep = 50%\ntarget onnx\n")
    assert [(each.code, each.severity) for each in recipe.messages] == [(Code.UNUSED_NAME, "warning")]
    assert recipe.errors == 0


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", x=np.zeros((4, 3), np.float32))
    recipe, _ = marked(tmp_path, 'data calib = npz("calib.npz")\nquantize(int8, data=calib)\ntarget onnx\n')
    assert recipe.messages == ()


def test_python_files_run_only_on_request(tmp_path: Path) -> None:
    lines = (
        "from pathlib import Path",
        "from vggc.rewrite import Graph, whole_graph",
        "Path(__file__).with_name('ran').touch()",
        "@whole_graph",
        "def mine(graph: Graph) -> None: ...",
        "",
    )
    (tmp_path / "own.py").write_text("\n".join(lines))
    recipe, offset = marked(tmp_path, 'use "own.py"\nmi^ne\ntarget onnx\n')
    assert [each.code for each in recipe.messages] == [Code.PYTHON_REFUSED]
    assert recipe.errors == 0
    assert not (tmp_path / "ran").exists()
    found = definition(recipe, offset)
    assert found is not None and (found.text, found.line) == ("mine", 5)
    assert RecipeText(recipe.path, recipe.text, python=True).messages == ()
    assert (tmp_path / "ran").exists()


# --- completion


def test_statements(tmp_path: Path) -> None:
    texts = proposed(tmp_path, "define shrink(k) {\n  simplify\n}\nrule two { Relu(Relu(x)) => Relu(x) }\n^")
    assert {"simplify", "shrink", "two", "param", "require", "quantize"} <= set(texts)
    assert "onnx" not in texts
    assert "simplify" in proposed(tmp_path, "when has(Relu) {\n  sim^")


def test_targets_loaders_and_measures(tmp_path: Path) -> None:
    assert {"onnx", "tensorrt_rtx"} <= set(proposed(tmp_path, "target ^"))
    assert {"npz", "images"} <= set(proposed(tmp_path, "data d = ^"))
    texts = proposed(tmp_path, "param keep = 3\nrequire acc^")
    assert {"accuracy", "size", "original", "keep"} <= set(texts)
    assert proposed(tmp_path, "require size <= 3MB else ro^") == ["fail", "rollback", "warn"]
    assert "Conv" in proposed(tmp_path, "when has(^")


def test_options_and_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", x=np.zeros((4, 3), np.float32))
    head = 'data calib = npz("c.npz")\n'
    texts = proposed(tmp_path, f"{head}quantize(int8, ^")
    assert {"data=", "calibration="} <= set(texts)
    assert "int8" not in texts
    assert "int8" in proposed(tmp_path, f"{head}quantize(^")
    assert "calibration=" not in proposed(tmp_path, f"{head}quantize(calibration=max, ^")
    assert {"entropy", "percentile"} <= set(proposed(tmp_path, f"{head}quantize(int8, calibration=^"))
    assert {"true", "false"} <= set(proposed(tmp_path, "quantize(int8, equalize=^"))
    assert "calib" in proposed(tmp_path, f"{head}quantize(int8, data=c^)\ntarget onnx\n")
    assert "c.npz" in proposed(tmp_path, 'data d = npz("^')


def test_names_of_nodes(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> '
        "g (float[3] x) => (float[3] y) { [first] a = Relu(x) [second] y = Neg(a) }"
    )
    onnx.save(model, tmp_path / "net.onnx")
    assert proposed(tmp_path, 'quantize(int8, only="^') == ["first", "second"]
    assert proposed(tmp_path, 'quantize(int8, only=["first", "^') == ["first", "second"]
    onnx.save(model, tmp_path / "other.onnx")
    assert proposed(tmp_path, 'quantize(int8, only="^') == []
    assert proposed(tmp_path, 'quantize(int8, only="^', Path("net.onnx")) == ["first", "second"]
    (tmp_path / "other.onnx").write_bytes(b"no model")
    assert proposed(tmp_path, 'quantize(int8, only="^', Path("other.onnx")) == []


def test_files_of_use(tmp_path: Path) -> None:
    (tmp_path / "common.opt").write_text("define shrink() {\n  simplify\n}\n")
    texts = proposed(tmp_path, 'use "^')
    assert {"common.opt", "vggc:rules/pad.opt"} <= set(texts)
    assert "shrink" in proposed(tmp_path, 'use "common.opt"\n^')


# --- hover


def test_a_pass_shows_its_documentation(tmp_path: Path) -> None:
    text = hover(*marked(tmp_path, "simplify\nprune_chan^nels(macs=50%)\ntarget onnx\n"))
    assert text is not None and text.startswith("```opt\nprune_channels(") and "| `macs` |" in text
    text = hover(*marked(tmp_path, "prune_channels(ma^cs=50%)\n"))
    assert text is not None and text.startswith("`macs` of `prune_channels`: ratio")
    assert hover(*marked(tmp_path, "simplify  # ^\n")) is None


def test_declarations_and_keywords(tmp_path: Path) -> None:
    text = "param keep = 50%  # so much\nprune_channels(macs=ke^ep)\ntarget onnx\n"
    assert hover(*marked(tmp_path, text)) == "```opt\nparam keep = 50%\n```"
    assert "is a gate" in str(hover(*marked(tmp_path, "re^quire size <= 1MB\n")))


def test_what_the_last_compile_measured(tmp_path: Path) -> None:
    text = "fold_batch_norm\nrequire size <= 1MB\ntarget onnx\n"
    cost = {"nodes": 9, "params": 28, "macs": 192, "bytes": 120}
    step = {"name": "fold_batch_norm", "line": "my.opt:1", "changes": {"fold": 2}, "seconds": 0.5}
    report = {
        "recipe": {"path": "my.opt", "text": text},
        "steps": [{**step, "before": cost, "after": {**cost, "nodes": 7}}],
        "requirements": [{"line": "my.opt:2", "measured": "120 B", "wanted": "<= 1 MB", "outcome": "held"}],
    }
    folder = tmp_path / "build" / "net-my"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report))
    found = str(hover(*marked(tmp_path, "fold_batch^_norm\nrequire size <= 1MB\n")))
    assert found.endswith("Last compile: `fold_batch_norm` made 2 changes in 0.50 s (nodes 9 → 7)")
    found = str(hover(*marked(tmp_path, "fold_batch_norm\nrequire si^ze <= 1MB\n")))
    assert found.endswith("Last compile: measured 120 B, wanted <= 1 MB: held")
    assert "Last compile" not in str(hover(*marked(tmp_path, "fold_batch_norm\nrequire si^ze <= 2MB\n")))
    newer = tmp_path / "build" / "other-my"
    newer.mkdir()
    (newer / "report.json").write_text("{")
    os.utime(newer / "report.json", (2**32, 2**32))
    assert "Last compile" in str(hover(*marked(tmp_path, text.replace("fold", "^fold", 1))))


# --- navigation


def test_where_names_are_declared(tmp_path: Path) -> None:
    (tmp_path / "common.opt").write_text("rule two { Relu(Relu(x)) => Relu(x) }\n")
    recipe, offset = marked(tmp_path, 'use "common.opt"\nparam keep = 1\ntw^o\n')
    found = definition(recipe, offset)
    assert found is not None
    assert (Path(found.source.path), found.line, found.text) == (tmp_path / "common.opt", 1, "two")
    recipe, offset = marked(tmp_path, 'use "comm^on.opt"\n')
    found = definition(recipe, offset)
    assert found is not None and Path(found.source.path) == tmp_path / "common.opt"
    found = definition(*marked(tmp_path, "define shrink(keep) {\n  prune_channels(macs=ke^ep)\n}\n"))
    assert found is not None and found.place.endswith("my.opt:1:15")
    assert definition(*marked(tmp_path, "simpl^ify\n")) is None
    assert definition(*marked(tmp_path, 'use "no^.opt"\n')) is None


# --- fixes


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("fold_^batchnorm\ntarget onnx\n", "fold_batch_norm\ntarget onnx\n"),
        ("prune_channels(macs=50%, al^ig=8)\ntarget onnx\n", "prune_channels(macs=50%, align=8)\ntarget onnx\n"),
        ("simplify\ntarget onn^x2\n", "simplify\ntarget onnx\n"),
        ("simplify\nrequire size =^< 3MB\ntarget onnx\n", "simplify\nrequire size <= 3MB\ntarget onnx\n"),
    ],
)
def test_a_help_line_is_a_fix(tmp_path: Path, wrong: str, right: str) -> None:
    recipe, offset = marked(tmp_path, wrong)
    (fix,) = fixes(recipe, offset, offset)
    assert recipe.text[: fix.span.start] + fix.text + recipe.text[fix.span.end :] == right


def test_no_fix_without_an_error(tmp_path: Path) -> None:
    recipe, offset = marked(tmp_path, "simpl^ify\ntarget onnx\n")
    assert list(fixes(recipe, offset, offset)) == []


# --- texts that are being typed


@pytest.mark.parametrize("name", ["prune", "int8_cpu", "onnx"])
def test_every_beginning_of_a_recipe_has_answers(tmp_path: Path, name: str) -> None:
    text = (Path(__file__).parents[2] / "recipes" / f"{name}.opt").read_text(encoding="utf-8")
    for end in range(0, len(text), max(1, len(text) // 8)):
        recipe = RecipeText(tmp_path / "my.opt", text[:end])
        assert all(each.message for each in recipe.messages)
        for offset in (end // 2, end):
            assert all(each.text for each in complete(recipe, offset))
            hover(recipe, offset)
            definition(recipe, offset)
            list(fixes(recipe, 0, end))
