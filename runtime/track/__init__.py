"""Ids and smoothing: last, on what the user gets."""
