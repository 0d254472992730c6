"""Find files and compare them with the catalog."""
