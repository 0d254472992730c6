"""Models: images and texts in, unit vectors of one shared space out."""
