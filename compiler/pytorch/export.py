"""Convert a module to an ONNX graph with PyTorch's exporter, which is based on torch.export.

The exporter's own optimizer is switched off, because it would fold the batch norms into the convolutions. The pass
`simplify` does its other work, and keeps the batch norms.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, fail
from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.passes.simplify import simplify
from vggc.pytorch.inputs import InputSpec
from vggc.pytorch.module import need_torch

_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='(?P<name>[\w.]+)'")
_PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+')
_SCOPES = "pkg.torch.onnx.name_scopes"


def export_graph(
    module: Any,
    arguments: Sequence[Any],
    inputs: Sequence[InputSpec],
    symbols: Mapping[str, Mapping[int, str]],
    folder: Path,
) -> Graph:
    """The graph of a module in eval mode. It keeps batch norms, and nodes have the names of the module's parts.

    `arguments` are tensors for forward, with the types of `inputs`. Sizes on dynamic axes must be 2 or more, because
    torch.export treats 0 and 1 as constants. The graph reads its weights from `folder` as long as it lives. Raises
    CompileError when the exporter fails, with the operator that ONNX does not have, or the line of the user's code that
    cannot be traced.
    """
    torch = need_torch()
    dims = {
        name: torch.export.Dim(name)
        for name in dict.fromkeys(each for one in symbols.values() for each in one.values())
    }
    shapes = tuple({axis: dims[symbol] for axis, symbol in symbols[each.name].items()} for each in inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(arguments),
                dynamo=True,
                optimize=False,
                verbose=False,
                input_names=[each.name for each in inputs],
                dynamic_shapes=shapes if dims else None,
            )
    except Exception as error:
        raise _explained(error, list(dims)) from error
    # Let the exporter write the file, because this also works for weights beyond 2 GiB.
    path = folder / "exported.onnx"
    with _quiet():
        program.save(path, external_data=True)
    graph = Graph.load(path)
    graph.infer_shapes(check=True)
    _name_outputs(graph)
    simplify(graph)
    _name_nodes(graph)
    graph.infer_shapes()
    return graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress PyTorch's messages about its internals. Errors are raised as exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _explained(error: BaseException, dims: Sequence[str]) -> CompileError:
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    texts = [str(each) for each in chain]
    for text in texts:
        if missing := _MISSING.search(text):
            return fail(
                f"the operator `{missing['name']}` has no counterpart in ONNX",
                facts=_place(texts),
                help="write this part of forward with other operators; PyTorch lists the supported ones at "
                "https://docs.pytorch.org/docs/stable/onnx_export.html",
                code=Code.EXPORT,
            )
    first = next((line.strip() for line in texts[-1].splitlines() if line.strip()), type(chain[-1]).__name__)
    facts = (("note", f"{type(chain[-1]).__name__}: {first}"), *_place(texts))
    if "data-dependent" in texts[-1]:
        help = "an `if` or a shape depends on the numbers in a tensor: use torch.where, or a fixed size"
    elif dims:
        help = f"if the module supports only one size, export it without --dynamic {' --dynamic '.join(dims)}"
    else:
        help = "torch.export must be able to trace forward: https://docs.pytorch.org/docs/stable/export.html"
    return fail("PyTorch's exporter cannot export this module", facts=facts, help=help, code=Code.EXPORT)


def _place(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The last place outside of libraries that a message of PyTorch names."""
    places = [match for text in texts for match in _PLACE.finditer(text) if "site-packages" not in match["file"]]
    return (("at", f"{places[-1]['file']}:{places[-1]['line']}"),) if places else ()


def _name_outputs(graph: Graph) -> None:
    """Name outputs `output`, or `output_0`, `output_1`. The exporter names them after the nodes that compute them."""
    taken = {value.name for value in graph.inputs}
    named = {value.name for node in graph.nodes for value in (*node.inputs, *node.outputs)} | taken
    for index, value in enumerate(graph.outputs):
        name = "output" if len(graph.outputs) == 1 else f"output_{index}"
        if value.name in taken or (value.name != name and name in named):
            continue
        value.name = name
    graph.tidy()


def _name_nodes(graph: Graph) -> None:
    """Name every node after its part of the module: `features.0`, or `features.0.Conv` when the part has several nodes.

    The exporter's metadata of each node, which contains paths of this machine, is removed.
    """
    places = [_scope(node_extras(node).metadata.get(_SCOPES, "")) for node in graph.nodes]
    counts = Counter(places)
    taken: Counter[str] = Counter()
    for node, place in zip(graph.nodes, places, strict=True):
        name = place if place and counts[place] == 1 else f"{place}.{node.op}".lstrip(".")
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name] - 1}"
        node_extras(node).metadata = {}
    graph.tidy()


def _scope(text: str) -> str:
    """`features.0` for `['', 'features', 'features.0', 'conv2d']`; empty for the outermost module."""
    try:
        scopes = literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        return ""
    place = str(scopes[-2]) if isinstance(scopes, list) and len(scopes) > 1 else ""
    # The exporter uses names with an underscore for nodes whose origin it does not know.
    return "" if place.startswith("_") else place
