"""Run models with onnxruntime, and compare what they compute."""
