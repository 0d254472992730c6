"""Vector indexes: ids and unit vectors in, nearest neighbors out."""
