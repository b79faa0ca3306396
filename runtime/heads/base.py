"""Head: what a network's outputs mean, and how they become people.

A kind of network is one subclass of `Head` in a module of its own: a frozen dataclass of what its decoding needs to know. It
travels in the manifest. A `Decoder` is made of it once per thread. Nothing outside `*/heads/` names a kind or a role.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.model.skeleton import Skeleton
from posetrt.runtime.people import People

Scope = Literal["frame", "crop"]
"""What a network looks at: "frame", the whole picture with everybody in it; "crop", one person, hand or face that somebody else chose."""

Tensors = Mapping[str, NDArray[Any]]
"""What a network gave for a batch: name of the output tensor → array with the batch first."""

Preset = Literal["balanced", "precise", "all", "evaluate"]
PRESETS: tuple[Preset, ...] = ("balanced", "precise", "all", "evaluate")
"""How sure a decoder must be of a person. "balanced" is for use; "precise" leaves out the doubtful; "all" gives whatever could be one;
"evaluate" is what average precision wants: everything that ranks, best first."""


@dataclass(frozen=True)
class DecodeOptions:
    """What a user chooses of decoding.

    Attributes:
        preset: how sure a person must be; each head says what it makes of that.
        min_score: least score of a person in place of the preset's; None keeps the preset's.
    """

    preset: Preset = "balanced"
    min_score: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"no preset {self.preset!r}: give one of {', '.join(PRESETS)}")
        if self.min_score is not None and not (np.isfinite(self.min_score) and self.min_score >= 0):
            raise UsageError(f"the least score of a person is a number from 0 on; got {self.min_score}")


class Decoder(Protocol):
    """Turns outputs into people. It may keep scratch memory, so each thread has its own."""

    def decode(self, tensors: Tensors, size_wh: tuple[int, int]) -> list[People]:
        """People of each frame (or crop) of a batch.

        Args:
            tensors: what the engine gave; names as in `Head.outputs`.
            size_wh: width and height of the network's input for this batch.

        Returns:
            For each of the batch, People in pixels of the network's input: key-point centres at integers, boxes as x, y, width,
            height where pixel i spans i to i + 1. Best first. A head of scope "crop" gives exactly one person for each crop, with
            scores of 0 where nothing was found.

        Raises:
            UsageError: the tensors are not those of this head and skeleton.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Head(abc.ABC):
    """What a network's outputs mean.

    Attributes:
        kind: name of the kind, as in the manifest.
        roles: what its outputs can be, in the order in which the project writes them.
        maps: those roles that are maps `(N, C, h, w)` of the picture, one cell per `stride` pixels, and whose mean over several scales
            means something.
        scope: what the network looks at.
        outputs: role → name of the output tensor, for the roles that the graph has.
    """

    kind: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]
    maps: ClassVar[tuple[str, ...]] = ()

    outputs: Mapping[str, str]
    scope: Scope = field(default="frame")

    def __post_init__(self) -> None:
        if self.scope not in ("frame", "crop"):
            raise UsageError(f'head {self.kind!r}: scope is "frame" or "crop", not {self.scope!r}')
        unknown = [role for role in self.outputs if role not in self.roles]
        if unknown or not self.outputs:
            raise UsageError(f"head {self.kind!r}: outputs are {', '.join(self.roles)}; got {', '.join(self.outputs) or 'none'}")
        if not all(isinstance(name, str) and name for name in self.outputs.values()):
            raise UsageError(f"head {self.kind!r}: each output names a tensor of the graph; got {dict(self.outputs)}")

    @abc.abstractmethod
    def decoder(self, skeleton: Skeleton, options: DecodeOptions | None = None) -> Decoder:
        """A decoder for one thread.

        Raises:
            UsageError: the skeleton is not one that this head can have.
        """

    def check(self, skeleton: Skeleton) -> None:  # noqa: B027 most kinds can have any skeleton
        """Refuse a skeleton that this head cannot have.

        Raises:
            UsageError: it says what was expected and what came.
        """

    def tensor(self, tensors: Tensors, role: str) -> NDArray[Any]:
        """The output of that role.

        Raises:
            UsageError: the engine gave no such tensor.
        """
        name = self.outputs[role]
        try:
            return tensors[name]
        except KeyError:
            raise UsageError(
                f"head {self.kind!r} reads its {role} from output {name!r}; the network gave {', '.join(tensors) or 'nothing'}"
            ) from None

    @property
    def one_person(self) -> bool:
        """Whether it finds exactly one person, in whatever picture it is shown. Such a network may be shown crops, whatever its scope is."""
        return self.scope == "crop"

    @property
    def looks_twice(self) -> bool:
        """Whether it says where the next crop of the same person is."""
        return False

    def next_crop(self, tensors: Tensors, size_wh: tuple[int, int]) -> NDArray[np.float32] | None:  # noqa: ARG002 for kinds that say it
        """Where the next crop of the same person is, for networks that say so and want to look twice.

        Args:
            tensors: what the engine gave for N crops.
            size_wh: of the network's input.

        Returns:
            (N, 4) float32: x and y of the crop's middle and its side, in pixels of the network's input (centres at integers), and the angle in
            radians by which it is turned clockwise, as the picture is seen, against the present crop; the side is 0 where it is not known.
            None for a network that does not say.
        """
        return None

    def map_stride(self) -> int:
        """Network pixels per cell of the outputs in `maps`; 1 for a head without such."""
        return 1

    @property
    def decoded_in_graph(self) -> bool:
        """Whether the graph itself decodes: its outputs are then coordinates, which stay float32 in every precision."""
        return False

    def picture_names(self) -> tuple[str, ...]:
        """What of the outputs can be drawn over a frame, by the names that `--draw` takes; empty where nothing can."""
        return ()

    def picture(self, name: str, tensors: Tensors, skeleton: Skeleton) -> NDArray[np.float32]:  # noqa: ARG002 for kinds that have some
        """One of `picture_names` for the first of a batch: (h, w) of 0 to 1, or (2, h, w) of a field of vectors, one cell per stride.

        Raises:
            UsageError: there is no such picture.
        """
        raise UsageError(f"a head {self.kind!r} has no {name} to draw; it has {', '.join(self.picture_names()) or 'nothing of that kind'}")

    def summary(self) -> str:
        """The head in a few words, for people."""
        return f"{self.kind} ({', '.join(f'{role} = {name}' for role, name in self.outputs.items())})"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `registry.head_from_dict` reads it back."""
        return {"kind": self.kind} | {each.name: _plain(getattr(self, each.name)) for each in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], where: str) -> Head:
        """Read the fields of this kind; `where` names the file in errors. Lists become tuples; the dataclass checks values.

        Raises:
            PosetrtError: a field is missing or unknown, or has a value that it cannot have.
        """
        known = {each.name: each for each in dataclasses.fields(cls)}
        unknown = sorted(fields.keys() - known.keys() - {"kind"})
        missing = sorted(
            name
            for name, each in known.items()
            if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING and name not in fields
        )
        if unknown or missing:
            raise PosetrtError(
                f"{where}: head {cls.kind!r} has the fields {', '.join(known)}; missing: {', '.join(missing) or 'none'}, "
                f"unknown: {', '.join(unknown) or 'none'}. Export the network again with this posetrt"
            )
        try:
            return cls(**{name: _frozen(value) for name, value in fields.items() if name != "kind"})
        except (TypeError, ValueError, UsageError) as error:
            raise PosetrtError(f"{where}: head {cls.kind!r}: {error}; export the network again") from error


def _plain(value: Any) -> Any:
    """Tuples as lists, mappings as dictionaries: what JSON has."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
