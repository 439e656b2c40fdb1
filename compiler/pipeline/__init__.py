"""Run a bound recipe on a model."""
