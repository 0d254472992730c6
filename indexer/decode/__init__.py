"""Files to segments: one decoder for each kind of file."""
