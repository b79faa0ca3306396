"""posetrt: OpenPose-family networks from trained weights to a TensorRT engine, and people at camera rate.

Importing this package imports NumPy and nothing else; each heavy library is imported by the one module that owns it.
"""

from posetrt.runtime.errors import EngineMismatch, PosetrtError, UsageError
from posetrt.runtime.find.top_down import TopDown, open_top_down
from posetrt.runtime.model.skeleton import Skeleton, load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.pose import Pose
from posetrt.runtime.pose import open_pose as open  # noqa: A004 (read as posetrt.open)

__version__ = "0.1.0"

__all__ = [
    "EngineMismatch",
    "People",
    "Pose",
    "PosetrtError",
    "Skeleton",
    "TopDown",
    "UsageError",
    "__version__",
    "load_skeleton",
    "open",
    "open_top_down",
]
