"""posetrt: trained pose networks to a TensorRT engine, and people at camera rate.

Importing this package imports NumPy and nothing else; each heavy library is imported by the one module that owns it.
"""

try:
    import posetrt.runtime  # noqa: F401
except ModuleNotFoundError as error:
    if error.name == "posetrt.runtime":
        # Git on Windows writes links as text files unless core.symlinks is set; a ZIP of the repository may lose them too.
        raise ImportError(
            "this copy of posetrt lacks posetrt.runtime: calib, export, jetson and runtime in src/posetrt must be links to the folders of the "
            "checkout, and were written as plain files. Mend it with: git config core.symlinks true, then: git checkout -- src/posetrt (on Windows "
            "in developer mode); then install again. Or install a wheel, which has no links"
        ) from None
    raise

from posetrt.doors import build, calibrate, evaluate, export_onnx
from posetrt.runtime.engines.choose import EngineOptions
from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.find.top_down import TopDown, open_top_down
from posetrt.runtime.heads.base import DecodeOptions, Decoder, Head
from posetrt.runtime.model.manifest import Manifest
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pose import Pose, PoseOptions
from posetrt.runtime.pose import open_pose as open  # noqa: A004 (read as posetrt.open)
from posetrt.runtime.sinks.base import Result, Sink
from posetrt.runtime.sinks.draw import draw
from posetrt.runtime.sources.base import Frame, Source
from posetrt.runtime.track.tracker import Tracker

__version__ = "0.1.0"

__all__ = [
    "DecodeOptions",
    "Decoder",
    "EngineMismatch",
    "EngineOptions",
    "Frame",
    "Head",
    "Manifest",
    "People",
    "Pose",
    "PoseOptions",
    "PosetrtError",
    "Result",
    "Sink",
    "Skeleton",
    "Source",
    "TopDown",
    "Tracker",
    "UsageError",
    "__version__",
    "build",
    "calibrate",
    "draw",
    "evaluate",
    "export_onnx",
    "load_skeleton",
    "open",
    "open_top_down",
]
