"""Index build, calibration, backfill, verification and repair."""
