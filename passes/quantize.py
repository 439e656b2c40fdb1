"""Quantize a model: weights and the values between operators become 8-bit or 16-bit numbers, or weights 4-bit numbers.

    Conv(x, w, b)
    => Conv(DequantizeLinear(QuantizeLinear(x)), DequantizeLinear(codes), b)

There are two placements of QuantizeLinear and DequantizeLinear, because the runtimes need them at different places:

- `onnxruntime`: every result of a convolution, sum, pool or concatenation is quantized after its activation, as uint8
  with a zero point, and biases are int32. onnxruntime's CPU provider then runs these operators with integers.
- `tensorrt`: int8, symmetric. The inputs of convolutions and products are quantized, and their results only where the
  next one reads them. In a residual sum, the skip branch is quantized. Biases stay float. MaxPool, Reshape, Transpose
  and similar operators pass quantized numbers on, and the inputs of a Concat share one scale. Convolutions and products
  that are too narrow for INT8 kernels (fewer than 16 channels) stay float.

Weights have one scale for each output channel. Use a few hundred samples of the model's real inputs; labels are not
used. Fold batch norms first. Ranges come from all samples, and all else from 64 of them (up to 256 when they are small)
at even distances. The options that keep errors small are on by default.

`fp8` is E4M3, for TensorRT on GPUs from sm89. `int16` has 16-bit values and 8-bit weights, for onnxruntime. `w4a8` has
8-bit values and 4-bit weights, convolutions included: onnxruntime, which has no integer kernels for them, computes them
in float, so that the file is smaller and the model slower. `int4` stores the weights of matrix products in blocks, each
with a scale; it changes nothing else and needs no samples. When the opset is too old for a precision, it is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vggc.calibration.samples import Samples, warn_of_samples
from vggc.data import Dataset
from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics, fail
from vggc.graph import Graph
from vggc.quantization.blocks import quantize_blocks
from vggc.quantization.candidates import candidates, check_formats, choose, nothing_to_quantize
from vggc.quantization.mixed_precision import quantize_until
from vggc.quantization.precisions import WEIGHTS_ONLY, Placement, Precision
from vggc.quantization.quantize_graph import Rounding, Settings, quantize_graph
from vggc.quantization.value_ranges import Calibration
from vggc.quantization.weights import WeightScales
from vggc.rewrite import Beforehand, Context, whole_graph
from vggc.values import Names, Ratio


def _check(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    found = Diagnostics()
    precision = options["precision"]
    with found.collect():
        check_formats(beforehand.targets, precision, options["placement"])
    if precision not in WEIGHTS_ONLY and options["data"] is None:
        found.extend(_no_samples(precision).diagnostics)
    if _quantized_before(beforehand):
        help = "remove one of the two, or run `strip_qdq` between them: it removes QuantizeLinear and DequantizeLinear"
        found.error("a `quantize` before this step has already quantized the model", help=help, code=Code.QUANTIZE)
    found.extend(beforehand.dead_names(options, "only", "except_"))
    graph = None if found.errors else beforehand.graph()
    if graph is not None:
        with found.collect():
            _check_nodes(graph, options, beforehand)
    return found.messages


def _check_nodes(graph: Graph, options: Mapping[str, Any], beforehand: Beforehand) -> None:
    """Raise CompileError when nothing in the graph can be quantized."""
    context, precision = Context(targets=beforehand.targets), options["precision"]
    names = {"only": options["only"], "except_": options["except_"]}
    if precision in WEIGHTS_ONLY:
        candidates(graph, context, precision, **names)
    else:
        choose(graph, context, precision, options["placement"], **names)


def _quantized_before(beforehand: Beforehand) -> bool:
    last = next((each for each in reversed(beforehand.earlier) if each.name in ("quantize", "strip_qdq")), None)
    # To reach an agreement, `quantize` may leave all nodes in float.
    return last is not None and last.name == "quantize" and last.options["agreement"] is None


def _no_samples(precision: Precision) -> CompileError:
    return fail(
        f"quantizing to {precision} needs samples",
        help="give it some: quantize(..., data=calib)",
        code=Code.NEEDS_SAMPLES,
    )


@whole_graph(exact=False, check=_check)
def quantize(
    graph: Graph,
    context: Context,
    precision: Precision,
    *,
    data: Dataset | None = None,
    calibration: Calibration = "output_error",
    placement: Placement | None = None,
    equalize: bool = True,
    bias_correction: bool = True,
    weights: WeightScales = "mse",
    rounding: Rounding = "least_squares",
    agreement: Ratio | None = None,
    block: Literal[64, 128] = 128,
    only: Names = Names(),  # noqa: B008
    except_: Names = Names(),  # noqa: B008
) -> None:
    """Quantize convolutions and matrix products, and the values they read.

    Options:
        precision: `int8`, `fp8`, `int16`, `w4a8`, or `int4` for weights only
        data: samples to find the ranges of values with; `int4` needs none
        calibration: how ranges are chosen: `max` includes all numbers, `percentile` 99.999 % of them; `entropy` and
            `mse` clip numbers when this costs less than coarser steps, by Kullback-Leibler divergence and by squared
            error; `output_error` by the effect on the operators that read the value
        placement: `onnxruntime` or `tensorrt`: the runtime whose kernels run the result. By default `tensorrt` when the
            recipe has such a target
        equalize: first multiply channels with small numbers, and divide the weights that read them, so that all
            channels of a value use the range of its one scale, as far as the estimated error becomes smaller
        bias_correction: subtract the shift that rounding causes in the mean results from each bias
        weights: the range of each channel's weights: `max`, or the least squared error (`mse`)
        rounding: how weights are rounded: such that errors cancel in the results (`least_squares`), or to the
            `nearest` number
        agreement: leave nodes in a higher precision (fp16 for TensorRT, else float) until the model chooses the same
            class on this share of samples held back; first those with much error for the time that quantizing saves
        block: how many weights of `int4` share a scale
        only: quantize only these nodes: names or globs of nodes, values, weights or modules, or operators
        except: leave these nodes in float
    """
    if precision in WEIGHTS_ONLY:
        found = candidates(graph, context, precision, only=only, except_=except_)
        if not quantize_blocks(graph, context, found, block, weights):
            raise nothing_to_quantize(context)
        return
    if data is None:
        raise _no_samples(precision)
    samples = Samples(graph, data)
    warn_of_samples(context, samples, "ranges")
    settings = Settings(
        precision,
        placement,
        calibration=calibration,
        equalize=equalize,
        bias_correction=bias_correction,
        weights=weights,
        rounding=rounding,
        only=only,
        except_=except_,
    )
    if agreement is None:
        quantize_graph(graph, context, samples, settings)
    else:
        quantize_until(graph, context, samples, settings, agreement)
