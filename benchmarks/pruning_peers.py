"""Torch-Pruning on an ONNX model: `python pruning_peers.py IN.onnx SAMPLES.npz SHARE IMPORTANCE RANKING OUT.onnx`.

Runs in an environment with torch and torch-pruning, so it imports nothing of vggc. The model is read into PyTorch node
by node, pruned down to the share of MACs, and exported again. SAMPLES.npz has `x`, and `y` for importance `taylor`.
RANKING is `global`, over all groups, or `uniform`, the same share of each. Widths are free: no multiples are asked for.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

STEPS = 48
"""Torch-Pruning takes a share of channels, not of MACs: it goes down in so many steps, and stops at the MACs asked."""

GRADIENTS = 256
"""Labelled images for the gradients of each step."""


class Net(nn.Module):
    """The nodes of an ONNX graph, those with weights as PyTorch modules."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        constants = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
        self.source, self.result = graph.input[0].name, graph.output[0].name
        self.steps: list[tuple[str, str, list[str], str, dict[str, Any]]] = []
        self.parts = nn.ModuleDict()
        for index, node in enumerate(graph.node):
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            if node.op_type == "Constant":
                constants[node.output[0]] = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
                continue
            if node.op_type == "Identity" and node.input[0] in constants:
                constants[node.output[0]] = constants[node.input[0]]
                continue
            given = [constants[each] for each in node.input if each in constants]
            values = [each for each in node.input if each and each not in constants]
            if node.op_type in ("Conv", "BatchNormalization", "Gemm"):
                self.parts[str(index)] = _module(node.op_type, given, attributes)
            elif node.op_type == "Clip":
                attributes = {"min": float(given[0]), "max": float(given[1])}
            elif node.op_type == "ReduceMean" and given:
                attributes["axes"] = given[0].tolist()
            self.steps.append((str(index), node.op_type, values, node.output[0], attributes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        known = {self.source: x}
        for index, kind, names, out, attributes in self.steps:
            values = [known[each] for each in names]
            known[out] = self.parts[index](values[0]) if index in self.parts else _plain(kind, values, attributes)
        return known[self.result]


def _module(kind: str, given: list[torch.Tensor], attributes: dict[str, Any]) -> nn.Module:
    made: nn.Module
    if kind == "BatchNormalization":
        made = nn.BatchNorm2d(len(given[0]), eps=attributes.get("epsilon", 1e-5))
        made.weight.data, made.bias.data, made.running_mean, made.running_var = given
        return made
    weight = given[0]
    if kind == "Gemm":
        assert attributes.get("transB") == 1
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=len(given) > 1)
    else:
        blocks, padding = attributes.get("group", 1), attributes.get("pads", [0] * 4)
        made = nn.Conv2d(
            weight.shape[1] * blocks,
            weight.shape[0],
            tuple(weight.shape[2:]),
            tuple(attributes.get("strides", [1, 1])),
            (padding[0], padding[1]),
            groups=blocks,
            bias=len(given) > 1,
        )
    made.weight.data = weight
    if len(given) > 1:
        made.bias.data = given[1]
    return made


def _plain(kind: str, values: list[torch.Tensor], attributes: dict[str, Any]) -> torch.Tensor:
    """A node without weights of its own."""
    x = values[0]
    match kind:
        case "Relu":
            return torch.relu(x)
        case "Clip":
            return x.clamp(attributes["min"], attributes["max"])
        case "Add":
            return x + values[1]
        case "Flatten":
            return x.flatten(1)
        case "GlobalAveragePool":
            return x.mean((2, 3), keepdim=True)
        case "ReduceMean":
            return x.mean(tuple(attributes["axes"]), keepdim=bool(attributes.get("keepdims", 1)))
        case "MaxPool":
            padding = attributes.get("pads", [0, 0])[0]
            return nn.functional.max_pool2d(x, attributes["kernel_shape"], attributes["strides"], padding)
    raise NotImplementedError(f"the benchmark has no {kind}")


def prune(net: Net, samples: dict[str, np.ndarray], share: float, importance: str, ranking: str) -> None:
    """Torch-Pruning step by step, the layer of the class logits left alone."""
    import torch_pruning

    kinds = {
        "l2": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
        "bn_scale": torch_pruning.importance.BNScaleImportance,
        "taylor": torch_pruning.importance.GroupTaylorImportance,
    }
    x = torch.from_numpy(samples["x"])
    labels = torch.from_numpy(samples["y"][:GRADIENTS].astype(np.int64))
    example = x[:1]
    full, _ = torch_pruning.utils.count_ops_and_params(net, example)
    last = [each for each in net.modules() if isinstance(each, nn.Linear)][-1]
    pruner = torch_pruning.pruner.BasePruner(
        net,
        example,
        importance=kinds[importance](),
        global_pruning=ranking == "global",
        pruning_ratio=1 - share / 2,
        max_pruning_ratio=0.9,
        iterative_steps=STEPS,
        ignored_layers=[last],
    )
    for _ in range(STEPS):
        if torch_pruning.utils.count_ops_and_params(net, example)[0] <= share * full:
            return
        if importance == "taylor":
            net.zero_grad()
            nn.functional.cross_entropy(net(x[:GRADIENTS]), labels).backward()
        pruner.step()


def main() -> None:
    source, given, share, importance, ranking, out = sys.argv[1:]
    torch.manual_seed(0)
    torch.set_num_threads(2)
    net = Net(onnx.load(source)).eval()
    with np.load(given) as file:
        samples = dict(file)
    prune(net, samples, float(share), importance, ranking)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.onnx.export(
        net.eval(),
        (torch.from_numpy(samples["x"][:1]),),
        out,
        input_names=[net.source],
        output_names=[net.result],
        dynamic_axes={net.source: {0: "N"}, net.result: {0: "N"}},
        opset_version=17,
        dynamo=False,
    )


if __name__ == "__main__":
    main()
