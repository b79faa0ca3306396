"""Work on many clips at once: lists of sources, workers that hold an engine each, and what they give."""
