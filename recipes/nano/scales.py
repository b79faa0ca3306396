"""Sizes and units of what is stored of a canvas."""

CANVAS = 320
CELLS = CANVAS // 8
MAPS = 57
CHUNK = 100
MAP_SCALE = 120.0
WEIGHT_SCALE = 200.0
# Of the teacher's features, which seldom exceed 4.
FEATURE_SCALE = 60.0
