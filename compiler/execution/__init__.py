"""Running a model with onnxruntime, and how far what it computes is from something else."""
