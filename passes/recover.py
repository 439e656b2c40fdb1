"""Train the weights of a model towards the model as read, with samples that need no labels.

    Conv(x, w)  =>  Conv(x, v)        v trained so that the outputs come near those of the model as read

The graph becomes a function of PyTorch tensors, its weights are trained, and they are written back to the same graph:
operators, shapes and the placement of QuantizeLinear and DequantizeLinear stay. Use it behind `prune_channels`,
`sparsify` or `quantize`, when what these can repair by themselves is not enough. It needs PyTorch, the `torch` extra.

- What is compared: logits, which are outputs (samples, classes) and what a Softmax reads, by their squares, and on
  samples held back by their divergence (KL); other outputs by mean squares; with `features`, results of products inside
  of the model, too. When an output cannot be computed with gradients, such as that of NonMaxSuppression, the values
  that it is computed from are compared.
- What is trained: the weights and biases of products, the factors and summands of norms, biases behind products, and
  scales of quantizers. Statistics of batch norms follow the samples when that is better. Zeros that `sparsify` has made
  stay, quantized weights stay on their grid (their gradient is that of the numbers before rounding). Nodes without
  gradients keep their weights, and are reported.
- With `student`, a smaller PyTorch module learns from the model as read instead, and its export is the new graph.
- Images are varied: mirrored, shifted, and half of them mixed.
- A short training with small rates comes first, then a long one with a large rate, for which batch norms normalize by
  the batch, if there are any. When the loss is still twice that of the start after a quarter of its epochs, the rest
  is trained with small rates again.
- One of eight samples, at most 256, is held back. They choose the small rate, by trials, and the weights that are kept,
  so that the result is never worse on them than the start.

The same seed gives the same weights on the same machine. A run that was killed goes on from its last checkpoint in the
cache. With `minutes`, the number of epochs follows from the time that two epochs take, and the report says it.
"""

from __future__ import annotations

from typing import Literal

from vggc.calibration.paired_samples import model_as_read, paired_samples
from vggc.calibration.samples import warn_of_samples
from vggc.data import Dataset
from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.pruning.provenance import kept_channels
from vggc.recovery.torch_package import need_torch
from vggc.rewrite import Context, whole_graph
from vggc.values import Ratio

_EPOCHS = 100

_TOGETHER, _FEW_TOGETHER = 64, 16
"""Samples of a step; fewer where each costs much, so that a training of a few epochs has steps enough."""

_LEAST_BATCH = 16
"""Statistics of smaller batches are too inexact to normalize by."""


@whole_graph(exact=False, learns=True)
def recover(
    graph: Graph,
    context: Context,
    *,
    data: Dataset,
    epochs: int | None = None,
    minutes: float | None = None,
    until: Ratio | None = None,
    rate: float | None = None,
    loss: Literal["auto", "kl", "mean_squares"] = "auto",
    features: float = 0.0,
    student: str | None = None,
    vary: bool = True,
    labels: bool = False,
    statistics: Literal["auto", "learn", "keep"] = "auto",
    batch: int | None = None,
    compute: Literal["float32", "float64"] = "float32",
    seed: int = 0,
) -> None:
    """Train all weights so that the model's results are those of the model as read.

    Options:
        data: the samples, some hundreds or more
        epochs: how often the samples are read; 100 by default
        minutes: instead of `epochs`, the time for the training
        until: end when at least this share of the classes on the samples held back is the original's
        rate: the learning rate, as a share of the size of each tensor's numbers; by default 1e-2 with batch norms that
            learn statistics, and else the best of some that are tried
        loss: `kl` for outputs that are logits or `mean_squares`; `auto` decides it for each output
        features: the weight of values inside of the model, where both models have them; 0 compares outputs only
        student: `package.module:factory`, a PyTorch module that is trained on the results of the model as read, and
            takes the graph's place
        vary: vary images
        labels: compare classes with the labels of the data too (cross-entropy); images are then not mixed
        statistics: `learn` lets batch norms normalize by the batch while they train, so that their statistics change;
            `keep` trains with the statistics that the model has; `auto` does both, `keep` first
        batch: samples that each step is computed with; by default 64, and 16 with images of 96 pixels a side or more
        compute: the type that the training computes with
        seed: seed for the order of samples and for their variations
    """
    need_torch()
    if epochs is not None and minutes is not None:
        raise fail(
            "recover takes `epochs` or `minutes`, not both",
            help="write one of them: recover(epochs=100)",
            code=Code.OPTION_CONFLICT,
        )
    for name, value in (("epochs", epochs), ("minutes", minutes), ("rate", rate), ("batch", batch)):
        if value is not None and value <= 0:
            raise fail(f"`{name}` must be above 0, but is {value:g}", code=Code.OPTION_LIMITS)
    if labels and data.labels is None:
        raise fail(
            f"recover(labels=true) needs labels, but data `{data.name}` has none",
            help=data.label_help,
            code=Code.NEEDS_LABELS,
        )
    # Here, because they import PyTorch.
    from vggc.recovery.recovery import recover_weights
    from vggc.recovery.settings import Settings

    original = model_as_read(context, "recover")
    if student is not None:
        if context.student is None:
            raise fail("`student` works in recipes, and in Python with Context(student=...)", code=Code.OPTION_CONFLICT)
        _become(graph, context.student(student, original, seed))
        context.record("put the student in the graph's place")
    graph.infer_shapes()
    samples = paired_samples(graph, original, data, "recover")
    warn_of_samples(context, samples, "weights")
    epochs = epochs or (None if minutes else _EPOCHS)
    batch = batch or (_FEW_TOGETHER if samples.images else _TOGETHER)
    step = min(samples.size if samples.fixed else batch, samples.count)
    settings = Settings(
        epochs=epochs,
        minutes=minutes,
        until=None if until is None else float(until),
        rate=rate,
        batch=batch,
        features=features,
        vary=vary,
        labels=labels,
        statistics=_statistics(statistics, step),
        floats=compute,
        seed=seed,
    )
    kept = kept_channels(graph, original)
    recover_weights(graph, original, context, samples, kept=kept, loss=loss, settings=settings)


def _statistics(asked: Literal["auto", "learn", "keep"], step: int) -> tuple[bool, ...]:
    """Whether batch norms may normalize by the batch of a step, and whether they may not."""
    if asked == "auto":
        return (True, False) if step >= _LEAST_BATCH else (False,)
    return (asked == "learn",)


def _become(graph: Graph, other: Graph) -> None:
    """Let a graph be another one, whose inputs and outputs have the same names."""
    for part in ("nodes", "inputs", "outputs", "opset", "import_domains"):
        setattr(graph, part, getattr(other, part))
    graph.tidy()
