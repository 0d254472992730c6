"""Read files inside zip and tar archives."""
