"""Evaluate models and libraries."""
