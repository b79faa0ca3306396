"""The networks, one file a family. Each reads as its paper's figure; a function takes a writer and an image and gives the maps."""

from posetrt.export.networks.maps import Maps

__all__ = ["Maps"]
