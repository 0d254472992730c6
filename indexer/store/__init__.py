"""Write the catalog; nothing else writes."""
