"""Facts about ONNX operators, each stated once."""
