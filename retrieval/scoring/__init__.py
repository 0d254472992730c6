"""Pure functions on arrays: ranking, calibration, metrics.

calibration   Calibrate cosines by those of background queries.
linear_probe  Learn a concept from a few examples, by ridge regression on stored vectors in milliseconds.
metrics       Measures of ranking quality, from scores and relevance.
ranking       Arithmetic of ranked lists: arrays in, arrays out.
"""
