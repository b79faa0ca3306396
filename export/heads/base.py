"""What is known of a user's graph before its kind is, and what a kind makes of it.

Each kind that can be recognised has a module here with `recognise(facts, asked) -> list[Reading]`. It looks at shapes, values and
names, and gives every reading that is possible; the door (`recognise.py`) chooses, or asks where two are as likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from posetrt.runtime.heads.base import Head
from posetrt.runtime.heads.paf.layout import MapLayout
from posetrt.runtime.model.manifest import Layout
from posetrt.runtime.model.skeleton import Skeleton


@dataclass(frozen=True)
class OutputFacts:
    """One output of the graph, run once.

    Attributes:
        name: of the tensor.
        noise: its value for a picture of noise, with a batch of one, whatever its type and shape.
        grey: its value for a plain grey picture.
        made_by: operator types of the nodes that made it, the last first, as far as there is only one way back (8 at most).
    """

    name: str
    noise: NDArray[Any]
    grey: NDArray[Any]
    made_by: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """With a batch of one."""
        return tuple(self.noise.shape)

    @property
    def low(self) -> float:
        """Least of all values seen; 0 for an empty output."""
        return float(min(self.noise.min(), self.grey.min())) if self.noise.size and self.grey.size else 0.0

    @property
    def high(self) -> float:
        """Greatest of all values seen; 0 for an empty output."""
        return float(max(self.noise.max(), self.grey.max())) if self.noise.size and self.grey.size else 0.0

    @property
    def probability(self) -> bool:
        """Whether all values lie in 0 to 1, as behind a sigmoid or softmax."""
        return bool(self.low >= -1e-4 and self.high <= 1 + 1e-4)


@dataclass(frozen=True)
class GraphFacts:
    """A user's graph, run at one size on noise and on grey.

    Attributes:
        file: its name, for errors.
        input_name: of the picture's tensor.
        layout: "NCHW" or "NHWC".
        dtype: NumPy's name of the input's type: "float32", "uint8", "int32".
        size_wh: width and height that it was run at.
        outputs: in the graph's order.
        metadata: the file's metadata_props; Ultralytics writes task, kpt_shape, stride and names there.
        producer: name of the program that wrote it.
        operators: how often each operator type occurs.
        stem: operator types of the nodes that read the picture, behind casts, transposes and arithmetic.
        takes: pixels that the graph itself normalises: "bytes" of 0 to 255 or "shares" of 0 to 1; empty where nothing shows that it does.
        strides: of its candidates, in their order, where the user said them.
    """

    file: str
    input_name: str
    layout: Layout
    dtype: str
    size_wh: tuple[int, int]
    outputs: tuple[OutputFacts, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    producer: str = ""
    operators: Mapping[str, int] = field(default_factory=dict)
    stem: frozenset[str] = frozenset()
    takes: Literal["", "bytes", "shares"] = ""
    strides: tuple[int, ...] = ()

    def listing(self) -> str:
        """The outputs with their shapes, for errors."""
        return ", ".join(f"{output.name} {'x'.join(map(str, output.shape)) or 'scalar'}" for output in self.outputs)


@dataclass(frozen=True)
class Asked:
    """What the user said of the graph; None or empty where nothing.

    Attributes:
        head: the kind.
        skeleton: of the network.
        layout: the same with the channels of its maps, where its file gives them.
        outputs: role → output name.
        person_class: number of the class that is a person, of networks with several.
        strides: of raw candidates, in their order.
        anchors: centre x, y, width and height of each candidate's anchor, as fractions of the input.
    """

    head: str | None = None
    skeleton: Skeleton | None = None
    layout: MapLayout | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    person_class: int | None = None
    strides: tuple[int, ...] = ()
    anchors: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class Reading:
    """One way to understand a graph.

    Attributes:
        head: what its outputs mean then.
        skeletons: names of the built-in skeletons that fit, the likeliest first. Where several fit and nothing but the order of parts
            tells them apart, the user must choose. Empty where the head needs none (boxes), or none fits (`parts` tells how many).
        parts: key points of the network; 0 for none.
        normalise: name of the preset that networks of this family take (`export.graph.normalisation`).
        fit: how a picture is placed in the input: "top-left", "centre", "stretch", or "crop" (see `runtime.placement`).
        why: what told, in a few words: "(1, 56, 8400): 4 box values, a score and 17 key points of 3".
        nhwc: names of outputs that have their channels last, which the exported graph turns to (N, C, h, w).
        swapped: names of outputs (N, values, candidates) that the exported graph turns to (N, candidates, values), as the head's others are.
        split: name of an output that holds several roles' channels one after the other → (new name, channels) of each.
        rank: the surer the higher: 0 a guess by shape alone, 1 shapes and values agree, 2 names or metadata say so too.
    """

    head: Head
    skeletons: tuple[str, ...]
    parts: int
    normalise: str
    fit: str
    why: str
    nhwc: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()
    split: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    rank: int = 1


@dataclass(frozen=True)
class NearMiss:
    """A graph that is nearly of a kind.

    Attributes:
        kind: which one.
        why: what is missing, and which option would supply it.
        likely: whether something of the outputs speaks for that kind; else it is named last.
        sure: the outputs are of that kind and of no other; `why`, of which the file is the subject, is then all that an error says.
    """

    kind: str
    why: str
    likely: bool = True
    sure: bool = False


def one_frame(values: NDArray[Any]) -> NDArray[np.float32]:
    """An output of a batch of one without its batch axis, as float32."""
    return np.asarray(values[0], np.float32)
