"""Recognising the head of a graph, and decoding it inside the graph."""
