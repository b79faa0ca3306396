"""Accuracy against annotations and against FP32."""
