"""Running a bound recipe on a model."""
