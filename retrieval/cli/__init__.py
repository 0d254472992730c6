"""Commands that read a library."""
