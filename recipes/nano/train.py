"""Train nano: `python recipes/nano/train.py --data ../shared/data --store FOLDER`. A run that was stopped goes on where it was."""

from __future__ import annotations

import argparse
import csv
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batches import PEAK_CELLS, Canvases, draw_batch, load_canvases, mirrored_channels, turned_away
from canvases import EarlyTeacher, Teacher, early_chunk, label_chunk
from drawings import SQUARE, WIDE, draw_chunk
from muon import Muon
from network import HEATMAPS, Nano
from numpy.typing import NDArray
from photographs import split_photographs, teacher_path
from to_npz import trained_state
from torch import Tensor, nn
from torch.nn import functional

from posetrt.runtime.heads.paf.layout import MapLayout, load_layout

SEED = 20161123
CANVAS_SEED = 1
EMA = 0.998
DECAY = 0.02
LEAST_PEAK = 0.4
LEAST_HEAT = 0.03


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one crop size.

    Attributes:
        steps: optimiser steps.
        crop, batch: side of the crops in pixels, and crops a step.
        rate: learning rate at its start and at its end; a cosine between.
        drawn: share of drawn scenes.
        photographs, scenes: chunks of canvases that it draws from.
        hint: weight of the hint loss.
        scene_size_wh: of the drawn scenes, in pixels.
        early: learn the teacher's early features alone, with the stem and the first blocks of the trunk.
        grown: how often the network has grown (`Nano.grow`).
        anew: the optimisers begin anew, Muon among them, with a warm-up.
        bfloat16: multiply in bfloat16 where the device can, twice as fast.
        pafs: weight of the PAFs' squared error, where that of the heat maps is 1.
        place: weight of the place loss.
        away: every other drawn crop is about someone who turns away, whose left and right are hard to tell.
        sides: weigh what is on either side of a person alike (`either_side`).
    """

    steps: int
    crop: int
    batch: int
    rate: tuple[float, float]
    drawn: float
    photographs: int
    scenes: int
    hint: float
    scene_size_wh: tuple[int, int] = SQUARE
    early: bool = False
    grown: int = 0
    anew: bool = False
    bfloat16: bool = False
    pafs: float = 1.0
    place: float = 0.0
    sides: bool = False
    away: bool = False


WIDE_STAGE = Stage(
    steps=9_000,
    crop=256,
    batch=8,
    rate=(1.05e-3, 1e-5),
    drawn=0.6,
    photographs=21,
    scenes=84,
    hint=0.0,
    scene_size_wh=WIDE,
    grown=2,
    bfloat16=True,
    pafs=0.5,
    place=6.0,
    sides=True,
    away=True,
)
STAGES = (
    Stage(steps=600, crop=96, batch=32, rate=(3e-3, 1e-3), drawn=0.25, photographs=3, scenes=1, hint=1.0, early=True),
    Stage(steps=9_400, crop=160, batch=12, rate=(2e-3, 2e-3), drawn=0.3, photographs=5, scenes=3, hint=1.0),
    Stage(steps=3_000, crop=160, batch=12, rate=(2e-3, 2e-3), drawn=0.3, photographs=11, scenes=9, hint=1.0),
    Stage(steps=3_000, crop=160, batch=12, rate=(2e-3, 2e-3), drawn=0.3, photographs=16, scenes=13, hint=1.0),
    Stage(steps=1_500, crop=256, batch=12, rate=(2e-3, 2e-5), drawn=0.3, photographs=16, scenes=13, hint=0.5),
    Stage(steps=1_000, crop=256, batch=12, rate=(8e-4, 1e-5), drawn=0.3, photographs=16, scenes=13, hint=0.2),
    Stage(steps=2_500, crop=160, batch=12, rate=(1.5e-3, 1.5e-3), drawn=0.4, photographs=16, scenes=13, hint=0.5),
    Stage(steps=1_750, crop=160, batch=12, rate=(1.5e-3, 1.5e-3), drawn=0.4, photographs=17, scenes=14, hint=0.5, grown=1),
    Stage(steps=1_250, crop=160, batch=12, rate=(1.5e-3, 1.5e-3), drawn=0.4, photographs=21, scenes=36, hint=0.3, grown=1),
    # Planned as 8,000 steps to 1e-5. The weights left it at step 27,750, where the rate fell to a fiftieth in 2,400 steps (`--cool-down`).
    Stage(steps=3_750, crop=256, batch=8, rate=(1.5e-3, 8.3e-4), drawn=0.4, photographs=21, scenes=36, hint=0.2, grown=1),
    Stage(steps=2_400, crop=256, batch=8, rate=(8.3e-4, 1.7e-5), drawn=0.4, photographs=21, scenes=36, hint=0.2, grown=1),
    # Planned as one stage. What was found out on the way (see the README) changed it three times; the last refinement gave PAFs as well in the first part.
    replace(WIDE_STAGE, steps=3_995, rate=(1.5e-3, 1.37e-3), anew=True, pafs=0.35, place=4.0, sides=False, away=False),
    replace(WIDE_STAGE, steps=3_561, rate=(1.37e-3, 1.2e-3), anew=True, sides=False, away=False),
    replace(WIDE_STAGE, steps=2_949, rate=(1.2e-3, 1.05e-3), away=False),
    WIDE_STAGE,
    # Planned as one stage of 22,000 steps to 1e-5; the fall of the rate was made shorter on the way.
    replace(WIDE_STAGE, steps=11_390, rate=(1e-3, 4.8e-4), drawn=0.75, anew=True),
    replace(WIDE_STAGE, steps=6_800, rate=(4.8e-4, 1e-5), drawn=0.75),
)
WARM_UP = 150


def rate_at(stage: Stage, done: int, total_done: int) -> float:
    """Learning rate `done` steps into a stage and `total_done` into the run, whose first steps warm up."""
    start, end = stage.rate
    rate = end + (start - end) * 0.5 * (1 + math.cos(math.pi * done / stage.steps))
    return rate * min(1.0, (total_done + 1) / WARM_UP)


def map_loss(guess: Tensor, target: Tensor, weighed: Tensor, pafs: float = 1.0) -> Tensor:
    """Squared error with the rare cells that hold something weighed up, scaled so that guessing nothing costs about 1.

    Heat maps: 1 + 12 t. PAFs: 1 + 6 |t|. The background counts a fifth, since it repeats what the others say.

    Args:
        weighed: the maps that t is taken of in the weights: the target, or `either_side` of it.
        pafs: weight of the PAFs.
    """
    background = target[:, HEATMAPS - 1 : HEATMAPS]
    error = (guess - target) ** 2
    loss_heat = (error[:, : HEATMAPS - 1] * (1 + 12 * weighed[:, : HEATMAPS - 1].clamp(0, 1))).mean()
    loss_background = (error[:, HEATMAPS - 1 : HEATMAPS] * (2 - background).clamp(1, 2)).mean()
    loss_paf = (error[:, HEATMAPS:] * (1 + 6 * weighed[:, HEATMAPS:].abs())).mean()
    return 120 * loss_heat + 120 * pafs * loss_paf + 5 * loss_background


def either_side(target: Tensor, layout: MapLayout) -> Tensor:
    """Maps as high as the target of their own or of the other side.

    With the target itself as the weight, a false right knee on the left one costs a thirteenth of a right knee that is missed, so that a
    network in doubt marks both, and the parser cannot tell them apart.
    """
    source, _ = mirrored_channels(layout)
    return torch.maximum(target.abs(), target[:, torch.from_numpy(source)].abs())


def place_loss(guess: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """How far the peaks lie from where they should, in cells; squared error hardly feels it where peaks are wide.

    At each peak of the target above LEAST_PEAK the logarithms of the two neighbours in a row, and in a column, tell where the maximum of a
    Gaussian of the target's width lies, as they do for the parser. How high the guess is does not matter.

    Args:
        weights: (18,) of the parts, 1 on average.
    """
    parts = len(weights)
    wanted, given = target[:, :parts], guess[:, :parts]
    inside = wanted[:, :, 1:-1, 1:-1]
    peaks = ((inside > LEAST_PEAK) & (inside >= functional.max_pool2d(wanted, 3, 1))).float()
    wrong = given.clamp(min=LEAST_HEAT).log() - wanted.clamp(min=LEAST_HEAT).log()
    half = PEAK_CELLS**2 / 2
    offsets = torch.stack([wrong[:, :, 1:-1, 2:] - wrong[:, :, 1:-1, :-2], wrong[:, :, 2:, 1:-1] - wrong[:, :, :-2, 1:-1]]) * half
    error = functional.smooth_l1_loss(offsets, torch.zeros_like(offsets), beta=0.1, reduction="none").sum(dim=0)
    return (error * peaks * weights[None, :, None, None]).sum() / peaks.sum().clamp(min=1)


def place_weights(layout: MapLayout) -> Tensor:
    """(18,) by the inverse of OKS's sigmas: what is judged by less tolerance counts more."""
    inverse = 1 / layout.skeleton.tolerances()
    return torch.from_numpy((inverse / inverse.mean()).astype(np.float32))


def hint_loss(guess: Tensor, target: Tensor, hinted: Tensor) -> Tensor:
    """Squared error against the teacher's inner features, the directions of greatest variance first, where there are any."""
    weights = 1 / (1 + torch.arange(guess.shape[1], device=guess.device) / 4)
    per_crop = (((guess - target) ** 2).mean(dim=(2, 3)) * weights).sum(dim=1) / weights.sum()
    return (per_crop * hinted).sum() / hinted.sum().clamp(min=1)


@dataclass
class Run:
    """What a checkpoint holds.

    Attributes:
        net, smooth: the network, and the average of its weights over the last steps.
        optimisers: of `net`; together they hold each weight once.
        step: steps done.
    """

    net: Nano
    smooth: Nano
    optimisers: list[torch.optim.Optimizer]
    step: int = 0

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        temporary = path.with_suffix(".tmp")
        torch.save(
            {
                "net": self.net.state_dict(),
                "smooth": self.smooth.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
                "step": self.step,
                "grown": self.net.grown,
            },
            temporary,
        )
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        stored: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        self.net.load_state_dict(stored["net"])
        self.smooth.load_state_dict(stored["smooth"])
        self.net.grown = self.smooth.grown = stored["grown"]
        self.optimisers = new_optimisers(self.net, muon=len(stored["optimisers"]) > 1)
        for optimiser, state in zip(self.optimisers, stored["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.step = stored["step"]

    def begin_with(self, arrays: Mapping[str, NDArray[np.float32]], step: int) -> None:
        """Take exported weights (`to_npz.py`) of the whole network in place of random ones, and go on at `step`."""
        self.grow(1)
        for one in (self.net, self.smooth):
            one.load_state_dict(trained_state(arrays), strict=False)
        self.step = step

    def grow(self, times: int) -> None:
        """Let the network and its average grow."""
        self.net.grow(times)
        self.smooth.grow(times)


def new_optimisers(net: Nano, muon: bool = False) -> list[torch.optim.Optimizer]:
    """AdamW with decay for what is multiplied, without for what is added or scales.

    With `muon` the convolutions that batch norm follows go to Muon in its place, but for the first, whose matrix is nearly square.
    """
    matrices = [module.weight for module in net.modules() if isinstance(module, nn.Conv2d) and module.bias is None][1:] if muon else []
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in net.parameters() if id(weight) not in taken]
    groups = [
        {"params": [weight for weight in others if weight.ndim > 1], "weight_decay": DECAY},
        {"params": [weight for weight in others if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    return [adam, Muon(matrices, lr=1e-3, weight_decay=DECAY)] if muon else [adam]


def new_run(device: str = "cpu") -> Run:
    """Fresh random weights by the fixed seed, the same on every device."""
    torch.manual_seed(SEED)
    net, smooth = (Nano().to(device, memory_format=torch.channels_last) for _ in range(2))
    smooth.load_state_dict(net.state_dict())
    return Run(net, smooth, new_optimisers(net))


def follow(smooth: Nano, net: Nano, step: int) -> None:
    """Move the averaged weights a little towards the present ones; faster in the beginning."""
    keep = min(EMA, (1 + step) / (10 + step))
    slow, fast = (list(one.state_dict().values()) for one in (smooth, net))
    with torch.no_grad():
        floating = [index for index, value in enumerate(slow) if value.dtype.is_floating_point]
        torch._foreach_lerp_([slow[index] for index in floating], [fast[index] for index in floating], 1 - keep)
        for value, present in zip(slow, fast, strict=True):
            if not value.dtype.is_floating_point:
                value.copy_(present)


def can_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 faster than float32."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()


def train_stage(
    run: Run,
    stage: Stage,
    first: int,
    photographs: Canvases,
    scenes: Canvases | None,
    layout: MapLayout,
    forward: Any,
    loaders: int = 1,
) -> Iterator[tuple[int, float, float, float]]:
    """Train to the stage's end, giving (step, loss, first guess's loss, hint loss) after each step.

    Args:
        first: the run's step at which the stage begins.
        forward: the network as it is called: compiled, or itself.
        loaders: threads that draw batches, one batch each ahead; they change nothing but the speed.
    """
    run.net.train()
    device = next(run.net.parameters()).device
    weights = place_weights(layout).to(device)
    away = turned_away(scenes) if stage.away and scenes is not None else None
    bfloat16 = stage.bfloat16 and can_bfloat16(device)

    def make(step: int) -> Any:
        return draw_batch(
            photographs, scenes, layout, (SEED, step), stage.batch, stage.crop, stage.drawn, 0.0 if stage.early else 0.3, away
        )

    with ThreadPoolExecutor(loaders) as pool:
        ahead = deque(pool.submit(make, run.step + later) for later in range(loaders))
        while run.step < first + stage.steps:
            batch = ahead.popleft().result()
            ahead.append(pool.submit(make, run.step + loaders))
            for group in (group for optimiser in run.optimisers for group in optimiser.param_groups):
                group["lr"] = rate_at(stage, run.step - first, run.step - first if stage.anew else run.step)
            inputs, target, hints, hinted = (
                torch.from_numpy(part).to(device) for part in (batch.inputs, batch.maps, batch.hints, batch.hinted)
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                given = forward(inputs.contiguous(memory_format=torch.channels_last))
            if stage.early:
                loss = loss_first = loss_best = loss_hint = hint_loss(given, hints, hinted)
            else:
                guesses, hint = given
                weighed = either_side(target, layout) if stage.sides else target
                losses = [map_loss(guess.float(), target, weighed, stage.pafs) for guess in guesses]
                if stage.place:
                    losses = [
                        loss + stage.place * place_loss(guess.float(), target, weights) for loss, guess in zip(losses, guesses, strict=True)
                    ]
                loss_first, loss_best = losses[0], losses[-1]
                loss_hint = hint_loss(hint.float(), hints, hinted)
                loss = sum(losses) + stage.hint * loss_hint
            run.net.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(run.net.parameters(), 5.0)
            for optimiser in run.optimisers:
                optimiser.step()
            run.step += 1
            follow(run.smooth, run.net, run.step)
            yield run.step, float(loss_best.detach()), float(loss_first.detach()), float(loss_hint.detach())


def prepared(stage: Stage, data: Path, store: Path) -> tuple[Canvases, Canvases | None]:
    """The canvases of a stage, from `store` and `store`/scenes; those that are not there yet are made first.

    Raises:
        MissingData: the photographs or the teacher are needed and not there; says what to put where.
    """
    photographs = [store / f"{index:03d}.npz" for index in range(stage.photographs)]
    if not all(path.is_file() for path in photographs):
        train, teacher = split_photographs(data).train, Teacher(teacher_path(data))
        photographs = [label_chunk(train, teacher, index, store, CANVAS_SEED) for index in range(stage.photographs)]
    size_wh = stage.scene_size_wh
    folder = store / ("scenes" if size_wh == SQUARE else f"scenes{size_wh[0]}x{size_wh[1]}")
    scenes = [draw_chunk(index, folder, size_wh) for index in range(stage.scenes)]
    pictures, drawings = load_canvases(photographs), load_canvases(scenes) if scenes else None
    if stage.early:
        early = EarlyTeacher(teacher_path(data))
        pictures = replace(pictures, hints=np.concatenate([np.load(early_chunk(path, early, store)) for path in photographs]))
        if drawings is not None:
            drawings = replace(drawings, hints=np.concatenate([np.load(early_chunk(path, early, store)) for path in scenes]))
    return pictures, drawings


def last_begins(stages: tuple[Stage, ...]) -> int:
    """The step at which the last stage begins."""
    return sum(stage.steps for stage in stages[:-1])


def cooled_plan(stages: tuple[Stage, ...], step: int, steps: int) -> tuple[Stage, ...]:
    """The plan cut short at `step`, and then `steps` more of the stage it is in while the rate falls to a fiftieth."""
    plan: list[Stage] = []
    for stage in stages:
        before = sum(earlier.steps for earlier in plan)
        if step < before + stage.steps:
            rate = rate_at(stage, step - before, WARM_UP)
            cut = [replace(stage, steps=step - before, rate=(stage.rate[0], rate))] if step > before else []
            return (*plan, *cut, replace(stage, steps=steps, rate=(rate, rate / 50), anew=stage.anew and not cut))
        plan.append(stage)
    return stages


def train(run: Run, stages: tuple[Stage, ...], data: Path, store: Path, checkpoint: Path, compiled: bool, loaders: int = 1) -> None:
    """Run the stages from where `run` is: the losses of each 50 steps to `store`/log.csv, `checkpoint` every 100 steps and at SIGTERM."""
    layout = load_layout("coco18")
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    whole = torch.compile(run.net, dynamic=False) if compiled else run.net
    beginning = torch.compile(run.net.imitate, dynamic=False) if compiled else run.net.imitate
    first = 0
    for stage in stages:
        if run.step < first + stage.steps:
            photographs, scenes = prepared(stage, data, store)
            run.grow(stage.grown)
            if stage.anew and run.step == first:
                run.optimisers = new_optimisers(run.net, muon=True)
            started, recent = time.perf_counter(), []
            forward = beginning if stage.early else whole
            for step, *losses in train_stage(run, stage, first, photographs, scenes, layout, forward, loaders):
                recent.append(losses)
                if step % 50 == 0:
                    report(step, np.mean(recent, axis=0).tolist(), len(recent) * stage.batch / (time.perf_counter() - started), store)
                    started, recent = time.perf_counter(), []
                if step % 100 == 0 or stopping:
                    run.save(checkpoint)
                if step % 250 == 0 and checkpoint.name == "run.pt":
                    run.save(store / f"step{step:06d}.pt")
                if stopping:
                    print(f"stopped at step {step}", file=sys.stderr)
                    return
        first += stage.steps
    run.save(checkpoint)


def report(step: int, losses: list[float], speed: float, store: Path) -> None:
    """A line to stderr and one to log.csv: step, loss, first guess's loss, hint loss, crops a second, time."""
    with (store / "log.csv").open("a", newline="") as log:
        csv.writer(log).writerow([step, *(f"{value:.5f}" for value in losses), f"{speed:.1f}", round(time.time())])
    loss, first, hint = losses
    line = f"{time.strftime('%H:%M:%S')} step {step}: loss {loss:.4f}, first {first:.4f}, hint {hint:.4f}, {speed:.0f} crops/s"
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Go on from the last checkpoint, or begin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--store", type=Path, required=True, help="folder of the canvases and the run's checkpoints")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch on the CPU (default 2)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")
    parser.add_argument("--loaders", type=int, default=1, help="threads that draw batches (default 1, enough for two cores)")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--begin-with", type=Path, metavar="nano.npz", help="begin with these weights, at the last stage")
    parser.add_argument("--cool-down", type=int, metavar="N", help="end here with N steps of falling rate, into cooled.pt; run.pt stays")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(
            f"--device {arguments.device}: this PyTorch ({torch.__version__}) sees no GPU; install its CUDA build where there is one, "
            "or leave --device out to train on the CPU"
        )
    torch.set_num_threads(arguments.threads)
    arguments.store.mkdir(parents=True, exist_ok=True)
    run, stages, checkpoint = new_run(arguments.device), STAGES, arguments.store / "run.pt"
    if checkpoint.is_file():
        run.load(checkpoint)
        if arguments.begin_with is not None:
            print(f"going on from {checkpoint} at step {run.step}; {arguments.begin_with} is for a new --store", file=sys.stderr)
    elif arguments.begin_with is not None:
        with np.load(arguments.begin_with) as stored:
            run.begin_with(dict(stored), last_begins(STAGES))
        stages = (*STAGES[:-1], replace(STAGES[-1], anew=True))
    if arguments.cool_down is not None:
        stages, checkpoint = cooled_plan(stages, run.step, arguments.cool_down), arguments.store / "cooled.pt"
    train(run, stages, arguments.data, arguments.store, checkpoint, not arguments.eager, arguments.loaders)


if __name__ == "__main__":
    main()
