"""Pure functions on arrays: ranking, calibration, metrics."""
