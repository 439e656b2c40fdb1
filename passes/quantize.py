"""Quantize a model: weights and the values between operators become 8-bit numbers.

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
not used. Fold batch norms first.
"""

from __future__ import annotations

from typing import Literal

from vggc.data import Dataset
from vggc.graph import Graph
from vggc.pruning.samples import Samples
from vggc.quantization.choosing import Placement, choose
from vggc.quantization.insert import insert
from vggc.quantization.observing import check_samples, observe
from vggc.quantization.thresholds import Method, quantizers
from vggc.quantization.weights import WeightScales, encoded
from vggc.rewrite import whole_graph
from vggc.values import Names


@whole_graph(exact=False)
def quantize(
    graph: Graph,
    precision: Literal["int8"],
    *,
    data: Dataset,
    calibration: Method = "mse",
    placement: Placement | None = None,
    weights: WeightScales = "mse",
    only: Names = Names(),  # noqa: B008
    except_: Names = Names(),  # noqa: B008
) -> None:
    """Quantize convolutions and matrix products, and the values they read.

    Options:
        precision: `int8`
        data: samples to find the ranges of values on
        calibration: how a range is chosen: `max` takes in all numbers seen, `percentile` 99.999 % of them; `entropy`
            and `mse` clip where that costs less than coarser steps do, by Kullback-Leibler divergence and by squared
            error
        placement: `onnxruntime` or `tensorrt`: whose kernels the result is for. By default `tensorrt` when the recipe
            has such a target
        weights: the range of each channel's weights: `max`, or least squared error (`mse`)
        only: quantize these nodes only: names or globs of nodes, values, weights or modules, or operators
        except: leave these nodes in float
    """
    plan = choose(graph, placement, only, except_)
    samples = Samples(graph, data)
    check_samples(graph, samples)
    graph.progress("look at the samples")
    found = quantizers(plan, observe(plan, samples), calibration)
    graph.progress("quantize weights")
    insert(plan, found, encoded(plan, found, weights))
