"""Run models with onnxruntime, compare what they compute, and measure how long they take."""
