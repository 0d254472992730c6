"""Follow changes in the indexed folders."""
