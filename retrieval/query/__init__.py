"""Query text to query vector and filters."""
