"""One peer's simplify-and-fold as a program of its own: `python peers.py PEER IN.onnx OUT.onnx`.

Runs in an environment that has the peers, so it imports nothing of vggc.
"""

from __future__ import annotations

import sys


def onnxsim(source: str, out: str) -> None:
    import onnx
    import onnxsim

    model, _ = onnxsim.simplify(source, check_n=0)
    onnx.save(model, out)


def onnxslim(source: str, out: str) -> None:
    import onnxslim

    onnxslim.slim(source, out)


def onnxscript(source: str, out: str) -> None:
    import onnx
    from onnxscript import optimizer, rewriter

    # The default rewrite rules are the ones that fold batch norms.
    onnx.save(rewriter.rewrite(optimizer.optimize(onnx.load(source))), out)


def onnxruntime(source: str, out: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = out
    options.log_severity_level = 3
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


PEERS = {each.__name__: each for each in (onnxsim, onnxslim, onnxscript, onnxruntime)}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
