"""Image files as upright sRGB."""
