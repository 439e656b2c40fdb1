"""Build a module, load its weights, export it to ONNX, and compare the result with the module."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.execution.array_distance import distance
from vggc.execution.model_comparison import TOLERANCE, Difference, difference
from vggc.execution.session import Session
from vggc.graph.arrays import Array
from vggc.pytorch.export import export_graph
from vggc.pytorch.inputs import Dynamic, InputSpec, axes, check_inputs, draw, sizes_of
from vggc.pytorch.module import in_eval_mode, load_module, need_torch, raised
from vggc.pytorch.weights import load_weights

BATCHES = (1, 3)
"""Further sizes at which the models are compared when the first axis is dynamic."""

_SEEDS = (0, 1)

_VACUOUS = 10
"""The comparison proves something only when different inputs change the outputs by this many tolerances."""


@dataclass(frozen=True)
class Request:
    """What to export: `package.module:factory` or a module, a weights file, and the inputs of forward in order."""

    factory: Any
    inputs: tuple[InputSpec, ...]
    weights: Path | None = None
    dynamic: tuple[Dynamic, ...] = ()
    tolerance: float | None = None
    """the allowed error of an output, relative to its largest number; by default it depends on the type"""


@dataclass(frozen=True)
class ExportedModel:
    """An exported model: its nodes by operator, its opset, and its largest error relative to the module in `runs` runs.

    `variation` is the difference between the module's outputs for different inputs, relative to the largest number.
    When it is small, the comparison proves little.
    """

    nodes: Counter[str]
    opset: int
    worst: Difference
    runs: int
    variation: float

    @property
    def vacuous(self) -> bool:
        """Whether the outputs hardly depend on the inputs, so that the comparison proves little."""
        return self.variation <= _VACUOUS * self.worst.tolerance

    @property
    def warning(self) -> str:
        """What to doubt about the export, empty when there is nothing."""
        if not self.vacuous:
            return ""
        return (
            f"the module's outputs hardly depend on its inputs ({self.variation:.1e} of the largest), so the "
            "comparison proves little; are its weights trained?"
        )


def export_model(request: Request, path: Path, *, progress: Progress = NO_PROGRESS) -> ExportedModel:
    """Write the module as an ONNX model after comparing the two. When they differ, nothing is written.

    Both run on seeded random inputs of the given sizes, and of other sizes when a dimension is dynamic. Raises
    CompileError when something is wrong with the factory, the weights, the inputs or the export.
    """
    check_inputs(request.inputs)
    symbols = axes(request.inputs, request.dynamic)
    sizes = sizes_of(request.inputs, symbols)
    if not path.absolute().parent.is_dir():
        raise fail(f"cannot write `{path.name}`: there is no folder `{path.parent}`", code=Code.CANNOT_WRITE)
    progress.begin("building the module")
    torch = need_torch()
    module = load_module(request.factory) if isinstance(request.factory, str) else in_eval_mode(request.factory)
    if request.weights is not None:
        progress.begin("loading the weights")
        load_weights(module, request.weights)
    example = [torch.from_numpy(each) for each in draw(request.inputs, symbols, _at_least_two(sizes), seed=0)]
    _run(torch, module, example, request)
    with _staging(path) as folder:
        progress.begin("exporting")
        graph = export_graph(module, example, request.inputs, symbols, folder)
        files = graph.save(folder / path.name)
        progress.begin("comparing with PyTorch")
        worst, runs, variation = _compare(torch, module, folder / path.name, request, symbols=symbols, sizes=sizes)
        # The weights come first, because the model refers to them.
        for file in reversed(files):
            file.path.replace(path.parent / file.path.name)
    return ExportedModel(Counter(node.op for node in graph.nodes), graph.opset, worst, runs, variation)


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """A folder beside the file to write, on the same disk."""
    try:
        with tempfile.TemporaryDirectory(prefix=".vggc-", dir=path.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise fail(f"cannot write `{path}`: {error.strerror or error}", code=Code.CANNOT_WRITE) from None


def _at_least_two(sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes of 2 or more, because torch.export treats a size of 1 as a constant."""
    return {name: max(2, size) for name, size in sizes.items()}


def _run(torch: Any, module: Any, arguments: Sequence[Any], request: Request) -> list[Array]:
    """Run the module. Returns its outputs in the order in which the exporter writes them."""
    try:
        with torch.inference_mode():
            outputs = module(*arguments)
    except Exception as error:
        problem = raised("forward", error).diagnostics[0]
        given = ", ".join(
            f"`{each.name}` {each.dtype}{list(array.shape)}"
            for each, array in zip(request.inputs, arguments, strict=True)
        )
        help = "write one --input for each argument of forward, in order, with its shape and type"
        raise fail(problem.message, facts=(*problem.facts, ("inputs", given)), help=help, code=Code.EXPORT) from error
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return [_array(torch, each) for each in leaves if each is not None]


def _array(torch: Any, tensor: Any) -> Array:
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return np.asarray(tensor.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(tensor.detach().numpy())


def _compare(
    torch: Any,
    module: Any,
    path: Path,
    request: Request,
    *,
    symbols: Mapping[str, Mapping[int, str]],
    sizes: Mapping[str, int],
) -> tuple[Difference, int, float]:
    """The output with the largest error over all sizes and seeds, the number of runs, and the outputs' variation."""
    session = Session(path)
    known = {each.name for each in session.inputs}
    worst: Difference | None = None
    seen: list[list[Array]] = []
    choices = _choices(symbols, sizes)
    for seed, chosen in [(seed, chosen) for chosen in choices for seed in _SEEDS]:
        arrays = draw(request.inputs, symbols, chosen, seed)
        expected = _run(torch, module, [torch.from_numpy(each) for each in arrays], request)
        seen.append(expected)
        got = session.run(
            {each.name: array for each, array in zip(request.inputs, arrays, strict=True) if each.name in known}
        )
        if len(got) != len(expected):
            raise fail(
                f"the module returns {len(expected)} tensors, but the exported model {len(got)}",
                code=Code.EXPORT_DIFFERS,
            )
        for (name, array), wanted in zip(got.items(), expected, strict=True):
            output = difference(name, wanted, np.asarray(array), _allowed(request, wanted))
            if not output.ok:
                raise _differs(output, chosen)
            worst = output if worst is None else max(worst, output, key=lambda each: each.error)
    if worst is None:
        raise fail(
            "the module returns no tensor",
            help="forward must return a tensor, or several tensors in a tuple or dict",
            code=Code.EXPORT,
        )
    # The first two runs have the same size and different numbers.
    first, second = seen[: len(_SEEDS)]
    variation = max((distance(one, other).error for one, other in zip(first, second, strict=True)), default=0.0)
    return worst, len(choices) * len(_SEEDS), variation


def _allowed(request: Request, wanted: Array) -> float:
    coarsest = max((TOLERANCE.get(each.dtype, 0.0) for each in request.inputs), default=0.0)
    own = TOLERANCE.get(str(wanted.dtype), 0.0)
    return request.tolerance if request.tolerance is not None and own else max(own, coarsest) if own else 0.0


def _choices(symbols: Mapping[str, Mapping[int, str]], sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """The sizes at which the models are compared: the given ones, and other batches."""
    batches = {symbol for axes in symbols.values() for axis, symbol in axes.items() if axis == 0}
    choices = [dict(sizes)]
    for size in BATCHES if batches else ():
        choices.append({name: size if name in batches else given for name, given in sizes.items()})
    others = {name: given if name in batches else 2 * given for name, given in sizes.items()}
    return [each for at, each in enumerate([*choices, others]) if each not in [*choices, others][:at]]


def _differs(output: Difference, sizes: Mapping[str, int]) -> CompileError:
    at = f" with {', '.join(f'{name} = {size}' for name, size in sizes.items())}" if sizes else ""
    shape = math.isinf(output.error)
    help = (
        "forward may use a size as a number (`int(x.shape[0])`), or be random"
        if shape or sizes
        else "forward may be random; if only rounding explains the difference, use --tolerance"
    )
    return fail(
        f"the exported model does not compute what the module computes{at}; nothing was written",
        facts=(("output", f"`{output.name}`: {output}"),),
        help=help,
        code=Code.EXPORT_DIFFERS,
    )
