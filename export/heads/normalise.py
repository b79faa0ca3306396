"""Which normalisation a user's graph wants: tried on pictures of people, because a wrong one finds nobody and raises no error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from posetrt.export.graph.normalisation import NORMALISATIONS, Normalisation
from posetrt.runtime.model.manifest import Manifest

Judge = Callable[[Any, Sequence[Manifest]], Sequence[float] | None]
"""How well a graph finds people under each manifest, 0 to 1 (AP); None where it cannot be told."""

FINDS = 0.005
"""AP on drawn scenes from which a network finds people at all. Weak real networks reach .01 with the right pixels, and 0 with wrong ones."""
BETTER = 1.5
"""How many times better another normalisation must be than the usual one. With red and blue swapped, networks keep .8 to .9 of their AP."""

CLEARLY = 0.05
"""Difference in AP that is more than the chance of a few drawn scenes,"""
FAR_BETTER = 5.0
"""or how many times better another normalisation must be where both find few: weak networks differ by twice between similar pixels."""


def rivals(first: Sequence[str], seen: Callable[[Normalisation], Normalisation]) -> list[str]:
    """Presets that feed the graph different numbers, `first` leading: of presets that feed the same, the one that comes first stands for all.

    Args:
        first: names of `NORMALISATIONS`.
        seen: what becomes of a preset at this graph's input.
    """
    names: dict[object, str] = {}
    for name in (*first, *NORMALISATIONS):
        one = seen(NORMALISATIONS[name])
        numbers = tuple(float(f"{value:.3g}") for value in (*one.mean, *one.scale))
        names.setdefault((one.colour, numbers), name)
    return list(names.values())


def choose(usual: str, given: bool, found: Mapping[str, float], own: str | None = None) -> tuple[str, str | None]:
    """The normalisation to take, and what to tell about it.

    Args:
        usual: the preset that the user gave, or the one that networks of this kind usually want.
        given: whether the user gave it; it is then never replaced.
        found: AP on pictures of people, by preset; `usual` among them.
        own: what networks of this kind usually want, where the user gave another; in `found` too. A warning names what would be taken without
            the user's word.

    Returns:
        A name, and a line for people; None where all is as expected.
    """
    best = max(found, key=lambda name: (found[name], name == usual))
    if found[best] < FINDS:
        return usual, (
            f"warning: it finds nobody in drawn scenes, whatever the normalisation; {usual} stays. "
            "Look at its pictures of a photograph before you go on (posetrt run FOLDER --source photo.jpg --write-images out/)"
        )
    if given and own is not None:
        best, _ = choose(own, False, found)
    better = found[best] >= BETTER * found[usual]
    if best == usual or not better or (found[best] - found[usual] < CLEARLY and found[best] < FAR_BETTER * found[usual]):
        return usual, None
    figures = f"AP on drawn scenes {_listed(found, (usual, best))}"
    if given:
        return usual, f"warning: --normalise {usual} is probably wrong: {best} finds people better ({figures})"
    return best, f"normalisation {best} in place of the usual {usual}: it finds people better ({figures})"


def _listed(found: Mapping[str, float], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {found[name]:.3f}" for name in names)
