"""Reading and writing ONNX graphs."""
