"""Quantize a model: weights and the values between operators become numbers of 8 bits, or 16, or weights of 4.

    Conv(x, w, b)
    => Conv(DequantizeLinear(QuantizeLinear(x)), DequantizeLinear(codes), b)

Two placements of QuantizeLinear and DequantizeLinear, for the same model behaves very differently on the two runtimes:

- `onnxruntime`: every result of a convolution, sum, pool or concatenation is quantized behind its activation, as uint8
  with a zero point, and biases are int32. onnxruntime's CPU provider then runs these operators with integers.
- `tensorrt`: int8, symmetric. What a convolution or product reads is quantized, its result only where the next one
  reads it; of a residual sum, the skip branch; biases stay float. MaxPool, Reshape, Transpose and the like pass
  quantized numbers on; the inputs of a Concat share one scale. Convolutions and products too narrow for INT8 kernels
  (fewer than 16 channels) stay float.

Weights have one scale for each output channel. Give it a few hundred samples from what the model will see; labels are
not used. Fold batch norms first. Options that keep the damage small are on by default; together they take about as long
as a calibration by entropy alone.

`fp8` is E4M3, for TensorRT on GPUs from sm89; `int16` has values of 16 bits and weights of 8, for onnxruntime; `int4`
stores the weights of matrix products in blocks with a scale each, all else stays as it is and no samples are needed.
An opset too old for a precision is raised.
"""

from __future__ import annotations

from typing import Literal

from vggc.calibration.samples import Samples, warn_of_samples
from vggc.data import Dataset
from vggc.diagnostics import fail
from vggc.graph import Graph
from vggc.quantization.blocks import quantize_blocks
from vggc.quantization.candidates import candidates
from vggc.quantization.node_sensitivity import quantize_until
from vggc.quantization.precisions import WEIGHTS_ONLY, Placement, Precision
from vggc.quantization.quantize_graph import Rounding, Settings, quantize_graph
from vggc.quantization.value_ranges import Calibration
from vggc.quantization.weights import WeightScales
from vggc.rewrite import Context, Declined, whole_graph
from vggc.values import Names, Ratio


@whole_graph(exact=False)
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
    rounding: Rounding = "nearest",
    agreement: Ratio | None = None,
    block: Literal[64, 128] = 128,
    only: Names = Names(),  # noqa: B008
    except_: Names = Names(),  # noqa: B008
) -> None:
    """Quantize convolutions and matrix products, and the values they read.

    Options:
        precision: `int8`, `fp8`, `int16`, or `int4` for weights alone
        data: samples to find the ranges of values on; `int4` needs none
        calibration: how a range is chosen: `max` takes in all numbers seen, `percentile` 99.999 % of them; `entropy`
            and `mse` clip where that costs less than coarser steps do, by Kullback-Leibler divergence and by squared
            error; `output_error` by what that does to the operators that read the value
        placement: `onnxruntime` or `tensorrt`: whose kernels the result is for. By default `tensorrt` when the recipe
            has such a target
        equalize: first multiply channels of small numbers, and divide the weights that read them, so that all
            channels of a value make use of its one scale
        bias_correction: take out of each bias what rounding shifts the mean results by
        weights: the range of each channel's weights: `max`, or least squared error (`mse`)
        rounding: of weights: to the `nearest` number, or such that errors cancel in the results (`least_squares`); the
            latter takes longer, most of it for nodes with thousands of inputs
        agreement: leave the fewest nodes in float with which the model chooses the same class on this share of the
            samples, those that quantizing damages most
        block: how many weights of `int4` share a scale
        only: quantize these nodes only: names or globs of nodes, values, weights or modules, or operators
        except: leave these nodes in float
    """
    if precision in WEIGHTS_ONLY:
        found = candidates(graph, context, precision, only=only, except_=except_)
        if not quantize_blocks(graph, context, found, block, weights):
            raise Declined("nothing of the model can be quantized")
        return
    if data is None:
        raise fail(f"quantizing to {precision} needs samples", help="give it some: quantize(..., data=calib)")
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
