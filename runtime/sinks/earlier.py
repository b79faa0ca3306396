"""Results of an earlier run in a folder that a new run writes to: files of both would be taken for one."""

from __future__ import annotations

from pathlib import Path

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sources.names import readable


def check_free(folder: Path, pattern: str, *, overwrite: bool) -> None:
    """Refuse a folder that holds files of a pattern, or remove them; other files stay in any case.

    Args:
        folder: may be absent.
        pattern: of the files that the run writes, as `*_keypoints.json`.
        overwrite: remove what an earlier run left.

    Raises:
        UsageError: there are such files, and `overwrite` is False.
        PosetrtError: they cannot be removed.
    """
    old = sorted(path for path in folder.glob(pattern) if not path.name.startswith(".")) if folder.is_dir() else []
    if not old:
        return
    if not overwrite:
        raise UsageError(
            f"{readable(str(folder))} holds {len(old)} {pattern} of an earlier run, as {readable(old[0].name)}; "
            "give another folder, or --overwrite, which removes them first"
        )
    try:
        for path in old:
            path.unlink()
    except OSError as error:
        raise PosetrtError(f"cannot remove {readable(str(path))}: {error.strerror or error}; give another folder") from error
