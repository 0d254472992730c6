"""Plain text, captions and subtitles."""
