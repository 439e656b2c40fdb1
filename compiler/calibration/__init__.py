"""What calibration samples say of a model: samples, staged runs, node matrices, moments, least squares."""
