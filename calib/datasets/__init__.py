"""Data sets of the field, each in its own published format and judged by its own measure."""
