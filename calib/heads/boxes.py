"""Exact outputs of a head of boxes: as of rows, without key points."""

from posetrt.calib.heads.rows import encode

__all__ = ["encode"]
