"""Heads: what a network's outputs mean, and how they become people."""
