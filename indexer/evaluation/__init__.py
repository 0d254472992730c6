"""Measure models and libraries."""
