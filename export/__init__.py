"""Trained weights to ONNX, ONNX to an engine."""
