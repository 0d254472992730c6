"""Slow analyses that run after everything is searchable: OCR, speech, sound events, tiles."""
