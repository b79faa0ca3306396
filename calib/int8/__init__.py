"""Ranges for INT8 and the graphs that carry them."""
