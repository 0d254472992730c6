"""Labels and concepts."""
