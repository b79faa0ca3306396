"""Ranges for INT8, what INT8 costs, and drawn scenes and maps to measure it on."""
