"""The text of a recipe for a goal, a runtime and data, with a comment for everything that a user may want to change."""

from __future__ import annotations

from vggc.authoring.data_source import DataSource
from vggc.authoring.goal import Goal, Runtime
from vggc.graph import Graph
from vggc.graph.signature import inputs_of, outputs_of
from vggc.options import spell

_ALIGN = {"onnxruntime": 8, "tensorrt_rtx": 16, "tensorrt": 16}
"""What the widths of pruned layers are multiples of, for the kernels of each runtime."""

_OPTIONAL = "# Without `else warn`, a compile that misses this ends with exit status 3 and writes no model."


def recipe_text(graph: Graph, name: str, goal: Goal, runtime: Runtime, data: DataSource | None) -> str:
    """A recipe for the model `graph`, whose file is called `name`. `data` is None for a goal that is not lossy."""
    lines = [f"# {goal.words[0].upper()}{goal.words[1:]} for {runtime}, written for {name} by `vggc new`.", ""]
    if goal.keep is not None:
        lines += ["# The share of the multiplications that may remain: --set remaining=25%"]
        lines += [f"param remaining: ratio = {spell(goal.keep)} in 1%..99%", ""]
    if not goal.lossy:
        lines += ['use "vggc:rules/all.opt"', "", "optimize"]
    else:
        assert data is not None
        first, *more = data.lines
        lines += [f"data calib = {first}", *more, ""]
        lines += _steps(goal, runtime)
        lines += ["", *_gates(graph, data)]
    return "\n".join([*lines, "", *_targets(graph, runtime)]) + "\n"


def _steps(goal: Goal, runtime: Runtime) -> list[str]:
    lines = ["simplify"]
    if goal.keep is not None:
        lines.append(f"prune_channels(macs=remaining, data=calib, align={_ALIGN[runtime]})")
    lines.append("fold_batch_norm")
    if goal.int8:
        lines.append("quantize(int8, data=calib)")
    if goal.fp16:
        lines.append("cast(fp16, data=calib)")
    return lines


def _gates(graph: Graph, data: DataSource) -> list[str]:
    output = outputs_of(graph)[0]
    if output.shape is None or len(output.shape) != 2:
        aim = "# The outputs should point in the direction of those of the model as read: `vggc measures` lists others."
        return [aim, _OPTIONAL, "require cosine(calib) >= 0.99 else warn"]
    lines = ["# So many samples should keep their class.", _OPTIONAL, "require agreement(calib) >= 97% else warn"]
    if data.labelled:
        lines.append("require accuracy(calib) >= original - 2% else warn")
    return lines


def _targets(graph: Graph, runtime: Runtime) -> list[str]:
    if runtime == "onnxruntime":
        return ["target onnx"]
    shapes = [each.shape for each in inputs_of(graph)]
    if not any(shape and not isinstance(shape[0], int) for shape in shapes):
        return ["target onnx", f"target {runtime}"]
    comment = "# The batch sizes: smallest..tuned for..largest."
    return ["target onnx", comment, f"target {runtime}(batch=1..8..32)"]
