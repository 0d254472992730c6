"""PDF, office and HTML documents."""
