"""Finding people in a frame: the whole frame, crops, boxes."""
