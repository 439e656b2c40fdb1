"""Which values and weights of a graph are quantized, for the targets of its recipe."""

from __future__ import annotations

from collections.abc import Sequence

from vggc.diagnostics import Code, CompileError, fail
from vggc.graph import Graph
from vggc.quantization.plan import Plan, Product
from vggc.quantization.precisions import (
    FORMATS,
    WEIGHTS_ONLY,
    Format,
    Placement,
    Precision,
    first_capability,
    first_opset,
)
from vggc.quantization.preconditions import need_opset, refuse_quantized, warn_of_norms
from vggc.quantization.products import products
from vggc.rewrite import Context, Destination
from vggc.values import Names

_SHOWN = 5
"""The most nodes that an error lists."""


def placement_for(targets: Sequence[Destination], precision: Precision, placement: Placement | None) -> Placement:
    """Whose kernels run the result: as given, or those of the runtime that has the precision.

    Where both have it, TensorRT's as soon as one target of the recipe is for it, otherwise onnxruntime's.
    """
    if placement is not None:
        return placement
    able = [place for each, place in FORMATS if each == precision]
    if len(able) == 1:
        return able[0]
    return "tensorrt" if any(each.is_tensorrt for each in targets) else "onnxruntime"


def is_for_cpu(targets: Sequence[Destination], placement: Placement) -> bool:
    """Whether a model that is quantized with a placement is for onnxruntime's CPU provider.

    It is for a target that runs on that provider, and in files when no target is for something else.
    """
    for each in targets:
        if each.target == "onnxruntime" and (each.options.get("providers") or ["cpu"])[0] == "cpu":
            return True
    return placement == "onnxruntime" and all(each.target == "onnx" for each in targets)


def format_for(targets: Sequence[Destination], precision: Precision, placement: Placement | None) -> Format:
    """How to store numbers of a precision. Raises CompileError for one that the placement's kernels have not."""
    chosen = placement_for(targets, precision, placement)
    found = FORMATS.get((precision, chosen))
    if found is None:
        able = [place for each, place in FORMATS if each == precision]
        raise fail(
            f"placement={chosen} does not support {precision}",
            help=f"write placement={able[0]}, or quantize to int8",
            code=Code.QUANTIZE,
        )
    return found


def check_formats(targets: Sequence[Destination], precision: Precision, placement: Placement | None) -> None:
    """Raise CompileError when the placement or a target of the recipe does not support a precision."""
    if precision not in WEIGHTS_ONLY:
        format_for(targets, precision, placement)
    check_capabilities(targets, precision)


def check_capabilities(targets: Sequence[Destination], precision: Precision) -> None:
    """Raise CompileError when a target of the recipe is for GPUs that lack a precision."""
    oldest = first_capability(precision)
    for each in targets:
        compute = each.options.get("compute") or []
        lacking = [gpu for gpu in compute if int(str(gpu).removeprefix("sm")) < oldest]
        if lacking:
            raise fail(
                f"GPUs of {', '.join(lacking)} do not support {precision}, but target `{each.target}` includes them",
                help=f"leave them out of its `compute`: sm{oldest} and newer support it; or quantize to int8",
                code=Code.CAPABILITY,
            )


def choose(
    graph: Graph,
    context: Context,
    precision: Precision,
    placement: Placement | None,
    *,
    only: Names,
    except_: Names,
    leave: frozenset[str] = frozenset(),
) -> Plan:
    """What to quantize, but for the nodes that compute the values `leave` names.

    Raises CompileError for a graph that cannot be quantized, or of which nothing can.
    """
    form = format_for(context.engines, precision, placement)
    found = []
    for product in candidates(graph, context, precision, only=only, except_=except_):
        if product.node.outputs[0].name in leave:
            context.decline(product.node, "it is not quantized, to reach the agreement")
        else:
            found.append(product)
    plan = form.place(graph, found, form.values, form.weights)
    for node, reason in plan.kept:
        context.decline(node, reason)
    if not plan.products:
        raise nothing_to_quantize(context)
    return plan


def nothing_to_quantize(context: Context) -> CompileError:
    """The error for a model none of whose nodes are quantized, with the reasons that the step has declined them for."""
    reasons = list(context.log.declined)
    facts = [("kept", f"{what}: {reason}") for what, reason in reasons[:_SHOWN]]
    if len(reasons) > _SHOWN:
        facts.append(("kept", f"and {len(reasons) - _SHOWN} more"))
    return fail(
        "nothing in this model can be quantized",
        facts=tuple(facts) or (("note", "it has no convolution or matrix product that the step may quantize"),),
        code=Code.QUANTIZE,
    )


def candidates(graph: Graph, context: Context, precision: Precision, *, only: Names, except_: Names) -> list[Product]:
    """The products that a recipe means, in a graph that is ready for a precision."""
    refuse_quantized(graph)
    check_capabilities(context.engines, precision)
    need_opset(graph, context, first_opset(precision), f"quantizing to {precision}")
    graph.infer_shapes()
    found = products(graph, context, only, except_)
    warn_of_norms(graph, context, found)
    return found
