"""Obtain and prepare models."""
