"""Candidates to ranked hits."""
