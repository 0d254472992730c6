"""Segments to vectors, in batches."""
