"""What INT8 costs by layer, and which layers to keep in float."""
