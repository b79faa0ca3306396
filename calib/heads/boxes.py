"""What calibration asks of a head of boxes: the same as of rows, without key points."""

from posetrt.calib.heads.rows import encode, error

__all__ = ["encode", "error"]
