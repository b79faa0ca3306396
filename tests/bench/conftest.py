"""The small network and photographs of the calibration's tests."""

from tests.calib.conftest import pictures, small_folder

__all__ = ["pictures", "small_folder"]
