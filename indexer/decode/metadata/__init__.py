"""Metadata of images and videos."""
