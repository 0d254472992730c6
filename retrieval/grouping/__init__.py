"""Groups of related files: duplicates, pairs, near-duplicates, bursts."""
