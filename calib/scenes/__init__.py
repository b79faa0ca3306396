"""Drawn people: pictures, and the exact maps of them."""
