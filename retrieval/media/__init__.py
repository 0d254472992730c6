"""Open media files safely."""
