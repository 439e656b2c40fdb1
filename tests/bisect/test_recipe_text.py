"""A bound step written out as a recipe binds to the same step again."""

from __future__ import annotations

import re
from pathlib import Path

from vggc import recipes
from vggc.binding import bind
from vggc.bisect.recipe_text import call, declarations
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.grammar.recipe_file import read_recipe
from vggc.pipeline.model import BoundStep

PASSES = '''
from typing import Literal

from vggc.graph import Graph
from vggc.rewrite import whole_graph
from vggc.values import Bytes, Names, Ratio, Seconds


@whole_graph(exact=False)
def everything(
    graph: Graph, share: Ratio, size: Bytes, way: Literal["up", "down"] | None = None, except_: Names = Names(),
    text: str = "", time: Seconds = Seconds(0.0), counts: dict[str, int] | None = None, on: bool = False,
) -> None:
    """Have options of every kind.

    Options:
        share: a share.
        size: a size.
        way: a word.
        except_: names.
        text: a text.
        time: a time.
        counts: numbers by name.
        on: a truth.
    """
'''


def steps(path: Path, text: str) -> list[BoundStep]:
    path.write_text(text)
    return list(bind(parse(read_recipe(path))).steps())


def again(step: BoundStep, source: Source, folder: Path) -> list[BoundStep]:
    folder.mkdir(exist_ok=True)
    lines = [*declarations(step, source, folder), call(step), "target onnx"]
    return steps(folder / "again.opt", "\n".join(lines) + "\n")


def test_options_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "passes.py").write_text(PASSES)
    path = tmp_path / "recipe.opt"
    given = (
        'everything(share=12.5%, size=3MiB, way=down, except=["a.*", "b"], text="say \\"a\\\\b\\"", time=2.5ms,'
        ' counts={"x": 3, y: 4}, on=true)'
    )
    (step,) = steps(path, f'use "passes.py"\n{given}\ntarget onnx\n')
    (twin,) = again(step, read_recipe(path), tmp_path / "cut")
    assert twin.options == step.options
    assert twin.options["way"] == "down" and twin.options["text"] == 'say "a\\b"'


def test_steps_of_a_define_stand_for_themselves(tmp_path: Path) -> None:
    path = tmp_path / "recipe.opt"
    text = "define smaller(limit) {\n    simplify(largest=limit)\n}\nsmaller(2KiB)\ntarget onnx\n"
    (step,) = steps(path, text)
    assert (declarations(step, read_recipe(path), tmp_path), call(step)) == ([], "simplify(largest=2KiB)")


def test_rules_of_a_library_are_brought_in_again(tmp_path: Path) -> None:
    path = tmp_path / "recipe.opt"
    library = "rule twice {\n    Neg(Neg(x)) => x\n}\n"
    (tmp_path / "mine.opt").write_text(library)
    (own,) = steps(path, 'use "mine.opt"\ntwice\ntarget onnx\n')
    assert declarations(own, read_recipe(path), tmp_path / "cut") == ['use "../mine.opt"']
    (twin,) = again(own, read_recipe(path), tmp_path / "cut")
    assert twin.name == "twice"


def test_rules_of_vggc_are_brought_in_by_their_name(tmp_path: Path) -> None:
    home = Path(next(iter(recipes.__path__))) / "rules" / "transpose.opt"
    name = re.findall(r"^rule (\w+)", home.read_text(), re.MULTILINE)[0]
    path = tmp_path / "recipe.opt"
    (step,) = steps(path, f'use "vggc:rules/transpose.opt"\n{name}\ntarget onnx\n')
    assert declarations(step, read_recipe(path), tmp_path / "cut") == ['use "vggc:rules/transpose.opt"']


def test_rules_that_run_together_repeat(tmp_path: Path) -> None:
    path = tmp_path / "recipe.opt"
    rules = "rule twice {\n    Neg(Neg(x)) => x\n}\nrule once {\n    Relu(r: Relu(x)) => Relu(x) like r\n}\n"
    (step,) = steps(path, f"{rules}repeat {{\n    twice\n    once\n}}\ntarget onnx\n")
    assert call(step) == "repeat {\n    twice\n    once\n}"
    (twin,) = again(step, read_recipe(path), tmp_path / "cut")
    assert twin.name == step.name
