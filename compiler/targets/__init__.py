"""Targets: what is written of a compiled model, one file for each kind, and what TensorRT would refuse."""
