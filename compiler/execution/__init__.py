"""Run models with onnxruntime, compare what they compute, measure how long they take, and share work among threads."""
