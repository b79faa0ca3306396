"""Train nano: `python recipes/nano/train.py --data ../shared/data --store FOLDER`. A run that was stopped goes on where it was."""

from __future__ import annotations

import argparse
import csv
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batches import Batch, Canvases, draw_batch, draw_trunk_batch, load_canvases, turned_away
from drawings import NETWORK, SQUARE, WIDE
from losses import either_side, feature_loss, map_loss, place_loss, place_weights
from muon import Muon
from network import FARTHER, SHIPPED, SLIM, WIDER, Factored, Nano, Size, size_of
from numpy.typing import NDArray
from prepare import beginning, chunks, fitting_pictures
from slim import slim, trim
from to_npz import trained_state
from torch import Tensor

from posetrt.runtime.heads.paf.layout import MapLayout, load_layout

SEED = 20161124
EMA = 0.99
DECAY = 0.01
WARM_UP = 30
SAVE_SECONDS = 120
REPORT = 10
# Steps without a finite gradient in a row, after which the run ends; fewer than there are between two savings.
MOST_PASSED_OVER = 20
# AdamW's rate beside Muon's.
ADAM = 0.5


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Attributes:
        steps: optimiser steps.
        rate: learning rate at its start and at its end; a cosine between.
        photographs, scenes: chunks of canvases that it draws from.
        crop, batch: side of the crops in pixels, and crops a step.
        drawn: share of drawn scenes.
        scene: width and height of the scenes.
        features: weight of the loss against the teacher's features.
        place: weight of the place loss.
        size: of the network; one of another size is fitted into it at the stage's beginning.
        trains: "head": the trunk stays as it began, and what it gives is computed once; "late": all but the blocks up to stride 8; "all".
    """

    steps: int
    rate: tuple[float, float]
    photographs: int
    scenes: int
    crop: int = 192
    batch: int = 8
    drawn: float = 0.25
    scene: tuple[int, int] = SQUARE
    features: float = 0.3
    place: float = 1.0
    trains: str = "late"
    size: Size = WIDER


# Larger crops, wide scenes.
_as_judged = partial(Stage, crop=256, batch=7, drawn=0.43, scene=WIDE)
_farther = partial(Stage, photographs=64, scenes=64, crop=256, batch=8, drawn=0.625, scene=NETWORK, features=0.1, size=FARTHER)

STAGES = (
    # Its loss was weighed by what is wanted alone (see `map_loss`), which finds people who are not there.
    Stage(steps=500, rate=(2e-3, 7.5e-4), photographs=6, scenes=6, batch=12, drawn=0.3, features=0.1, trains="head"),
    Stage(steps=257, rate=(1.5e-3, 1.4e-3), photographs=6, scenes=6, batch=12, drawn=0.4, features=0.05, trains="head"),
    Stage(steps=1_839, rate=(1e-3, 9e-4), photographs=24, scenes=40, batch=12, drawn=0.4, features=0.15),
    # From here on about as large as it is judged.
    _as_judged(steps=1_439, rate=(9e-4, 6e-4), photographs=24, scenes=14, features=0.15),
    _as_judged(steps=999, rate=(6e-4, 2.9e-4), photographs=24, scenes=14, features=0.15),
    _as_judged(steps=420, rate=(2.9e-4, 0.0), photographs=24, scenes=14, features=0.15),
    _as_judged(steps=300, rate=(1e-3, 1e-3), photographs=24, scenes=14, features=0.15, size=SLIM),
    _as_judged(steps=3_000, rate=(1e-3, 1e-3), photographs=64, scenes=48, features=0.1, size=SLIM),
    _as_judged(steps=24_000, rate=(6e-4, 0.0), photographs=64, scenes=48, features=0.1, size=SLIM),
    _as_judged(steps=7_000, rate=(4e-4, 0.0), photographs=64, scenes=48, features=0.1, size=SLIM),
    # Begun with the weights in this folder. More of it is drawn: drawn scenes were what fell short.
    _as_judged(steps=24_000, rate=(6e-4, 0.0), photographs=64, scenes=64, features=0.1, size=SLIM, drawn=0.57),
    # Begun with those weights again, in a network that sees farther and finer; the scenes are of the network's size.
    _farther(steps=14_000, rate=(6e-4, 0.0)),
    _farther(steps=4_650, rate=(4e-4, 0.0)),
    # Begun with the mean of those two, in a network with fewer multiply-adds where they matter least; a third of the scenes are new.
    _farther(steps=28_000, rate=(6e-4, 0.0), scenes=96, size=SHIPPED),
)


def rate_at(stage: Stage, done: int, total_done: int) -> float:
    """Learning rate `done` steps into a stage and `total_done` into the run, whose first steps warm up."""
    start, end = stage.rate
    rate = end + (start - end) * 0.5 * (1 + math.cos(math.pi * done / stage.steps))
    return rate * min(1.0, (total_done + 1) / WARM_UP)


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
            },
            temporary,
        )
        temporary.replace(path)

    @classmethod
    def loaded(cls, path: Path, device: str = "cpu") -> Run:
        """A run that goes on from a checkpoint."""
        stored: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        run = new_run(stored["net"], device)
        run.smooth.load_state_dict(stored["smooth"])
        for optimiser, state in zip(run.optimisers, stored["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        run.step = stored["step"]
        return run


def new_optimisers(net: Nano) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of factored convolutions; AdamW for the others, without decay for what is added."""
    matrices = [layer.weight for module in net.modules() if isinstance(module, Factored) for layer in (module.inner, module.outer)]
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in net.parameters() if id(weight) not in taken]
    groups = [
        {"params": [weight for weight in others if weight.ndim > 1], "weight_decay": DECAY},
        {"params": [weight for weight in others if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return [torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True), Muon(matrices, lr=1e-3, weight_decay=DECAY)]


def new_run(state: dict[str, Tensor] | None = None, device: str = "cpu", size: Size = SHIPPED) -> Run:
    """A run at step 0 that begins with the weights in `state`, or with random ones of a size by the fixed seed."""
    torch.manual_seed(SEED)
    size = size_of(state) if state is not None else size
    net, smooth = (Nano(size).to(device, memory_format=torch.channels_last) for _ in range(2))
    net.load_state_dict(state if state is not None else net.state_dict())
    smooth.load_state_dict(net.state_dict())
    return Run(net, smooth, new_optimisers(net))


def resized(run: Run, size: Size, data: Path) -> Run:
    """The run with the averaged weights in a network of another size, and new optimisers.

    A narrower one is fitted to this one (`slim.py`); in one with more blocks, the new ones begin as nothing.
    """
    device = str(next(run.net.parameters()).device)
    torch.manual_seed(SEED)
    net = Nano(size)
    before = run.smooth.cpu()
    if size.late < before.size.late:
        slim(before, net, fitting_pictures(data))
    elif size.narrow is not None:
        trim(before, net, fitting_pictures(data))
    else:
        net.load_state_dict(net.state_dict() | before.state_dict())
    other = new_run(net.state_dict(), device)
    other.step = run.step
    return other


def follow(smooth: Nano, net: Nano, step: int) -> None:
    """Move the averaged weights a little towards the present ones; faster in the beginning."""
    keep = min(EMA, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(smooth.parameters()), list(net.parameters()), 1 - keep)


def can_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 faster than float32."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()


def train_stage(
    run: Run,
    stage: Stage,
    first: int,
    photographs: Canvases,
    scenes: Canvases,
    layout: MapLayout,
    loaders: int = 1,
    trunk: tuple[NDArray[np.float16], NDArray[np.float16]] | None = None,
) -> Iterator[tuple[int, float, float, float]]:
    """Train to the stage's end, giving (step, maps' loss, place loss, features' loss) after each step.

    Args:
        first: the run's step at which the stage begins.
        loaders: threads that draw batches, one batch each ahead; they change nothing but the speed.
        trunk: what the trunk gives for the photographs and the scenes, of a stage that trains the head.
    """
    run.net.early_trains(stage.trains == "all")
    device = next(run.net.parameters()).device
    weights = place_weights(layout).to(device)
    away = turned_away(scenes)
    passed_over = 0

    def make(step: int) -> Batch:
        if trunk is not None:
            return draw_trunk_batch(photographs, scenes, trunk, (SEED, step), stage.batch, stage.crop, stage.drawn)
        return draw_batch(photographs, scenes, layout, (SEED, step), stage.batch, stage.crop, stage.drawn, 0.4, away)

    with ThreadPoolExecutor(loaders) as pool:
        ahead = deque(pool.submit(make, run.step + later) for later in range(loaders))
        while run.step < first + stage.steps:
            batch = ahead.popleft().result()
            ahead.append(pool.submit(make, run.step + loaders))
            rate = rate_at(stage, run.step - first, run.step)
            for optimiser in run.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate if isinstance(optimiser, Muon) else rate * ADAM
            inputs, target, known, features, hinted = (
                torch.from_numpy(part).to(device) for part in (batch.inputs, batch.maps, batch.weights, batch.features, batch.hinted)
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=can_bfloat16(device)):
                forward = run.net if trunk is None else run.net.head
                maps, given = forward(inputs.contiguous(memory_format=torch.channels_last))
            maps, given = maps.float(), given.float()
            loss_maps = map_loss(maps, target, either_side(target, layout), known)
            loss_place = place_loss(maps, target, weights)
            loss_features = feature_loss(given, features, hinted)
            loss = loss_maps + stage.place * loss_place + stage.features * loss_features
            run.net.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(run.net.parameters(), 5.0)
            run.step += 1
            if not torch.isfinite(norm):
                passed_over += 1
                print(f"step {run.step}: gradient of {float(norm)}, loss {float(loss.detach())}: passed over", file=sys.stderr)
                if passed_over == MOST_PASSED_OVER:
                    raise SystemExit(f"{passed_over} steps in a row without a finite gradient; start again: run.pt is of before them")
                continue
            passed_over = 0
            for optimiser in run.optimisers:
                optimiser.step()
            follow(run.smooth, run.net, run.step)
            yield run.step, float(loss_maps.detach()), float(loss_place.detach()), float(loss_features.detach())


@torch.inference_mode()
def trunk_of(net: Nano, paths: list[Path], store: Path) -> NDArray[np.float16]:
    """(n, 128, h, w) of chunks of canvases, from `store`/trunk; made where they are not there."""
    folder = store / "trunk"
    folder.mkdir(exist_ok=True)
    device = next(net.parameters()).device
    parts = []
    for path in paths:
        target = folder / f"{path.parent.name}_{path.stem}.npy"
        if not target.is_file():
            with np.load(path) as stored:
                images = stored["images"]
            whole = []
            for first in range(0, len(images), 4):
                inputs = torch.from_numpy((images[first : first + 4].transpose(0, 3, 1, 2).astype(np.float32) - 128) / 256)
                with torch.autocast(device.type, torch.bfloat16, enabled=can_bfloat16(device)):
                    whole.append(net.narrowed(inputs.to(device, memory_format=torch.channels_last))[0].half().cpu().numpy())
            temporary = folder / f".{target.name}"
            np.save(temporary, np.concatenate(whole))
            temporary.replace(target)
        parts.append(np.load(target))
    return np.concatenate(parts)


def cooled_plan(stages: tuple[Stage, ...], step: int, steps: int) -> tuple[Stage, ...]:
    """The plan cut short at `step`, and then `steps` more of the stage it is in while the rate falls to a fiftieth."""
    plan: list[Stage] = []
    for stage in stages:
        before = sum(earlier.steps for earlier in plan)
        if step < before + stage.steps:
            rate = rate_at(stage, step - before, WARM_UP)
            cut = [replace(stage, steps=step - before, rate=(stage.rate[0], rate))] if step > before else []
            return (*plan, *cut, replace(stage, steps=steps, rate=(rate, rate / 50)))
        plan.append(stage)
    return stages


def train(run: Run, stages: tuple[Stage, ...], data: Path, store: Path, checkpoint: Path, loaders: int = 1) -> None:
    """Run the stages from where `run` is.

    The losses of each REPORT steps go to `store`/log.csv; `checkpoint` is written every two minutes, at SIGTERM and at the end.
    """
    layout = load_layout("coco18")
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    first, saved = 0, time.monotonic()
    for stage in stages:
        if run.step < first + stage.steps:
            if run.net.size != stage.size:
                run = resized(run, stage.size, data)
            paths = chunks(data, store, stage.photographs, stage.scenes, stage.scene)
            photographs, scenes = (load_canvases(ones) for ones in paths)
            trunk = None
            if stage.trains == "head":
                trunk_of_photographs, trunk_of_scenes = (trunk_of(run.net, ones, store) for ones in paths)
                trunk = (trunk_of_photographs, trunk_of_scenes)
            started, recent = time.perf_counter(), []
            for step, *losses in train_stage(run, stage, first, photographs, scenes, layout, loaders, trunk):
                recent.append(losses)
                if step % REPORT == 0:
                    report(step, np.mean(recent, axis=0).tolist(), len(recent) * stage.batch / (time.perf_counter() - started), store)
                    started, recent = time.perf_counter(), []
                if stopping or time.monotonic() - saved > SAVE_SECONDS:
                    run.save(checkpoint)
                    saved = time.monotonic()
                if step % 250 == 0 and checkpoint.name == "run.pt":
                    run.save(store / f"step{step:06d}.pt")
                if stopping:
                    print(f"stopped at step {step}", file=sys.stderr)
                    return
        first += stage.steps
    run.save(checkpoint)


def report(step: int, losses: list[float], speed: float, store: Path) -> None:
    """A line to stderr and one to log.csv: step, losses of maps, places and features, crops a second, time."""
    with (store / "log.csv").open("a", newline="") as log:
        csv.writer(log).writerow([step, *(f"{value:.5f}" for value in losses), f"{speed:.1f}", round(time.time())])
    maps, place, features = losses
    line = f"{time.strftime('%H:%M:%S')} step {step}: maps {maps:.4f}, places {place:.4f}, features {features:.4f}, {speed:.1f} crops/s"
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Go on from the last checkpoint, or begin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--store", type=Path, required=True, help="folder of the canvases and the run's checkpoints")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch on the CPU (default 2)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")
    parser.add_argument("--loaders", type=int, default=1, help="threads that draw batches (default 1, enough for two cores)")
    parser.add_argument("--begin-with", type=Path, metavar="nano.npz", help="begin with these weights, at their step")
    parser.add_argument("--cool-down", type=int, metavar="N", help="end here with N steps of falling rate, into cooled.pt; run.pt stays")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(
            f"--device {arguments.device}: this PyTorch ({torch.__version__}) sees no GPU; install its CUDA build where there is one, "
            "or leave --device out to train on the CPU"
        )
    torch.set_num_threads(arguments.threads)
    arguments.store.mkdir(parents=True, exist_ok=True)
    stages, checkpoint = STAGES, arguments.store / "run.pt"
    if checkpoint.is_file():
        run = Run.loaded(checkpoint, arguments.device)
        if arguments.begin_with is not None:
            print(f"going on from {checkpoint} at step {run.step}; {arguments.begin_with} is for a new --store", file=sys.stderr)
    elif arguments.begin_with is not None:
        with np.load(arguments.begin_with) as stored:
            state, step = trained_state(dict(stored))
        run = new_run(state, arguments.device)
        run.step = step
    else:
        run = new_run(beginning(arguments.data, arguments.store), arguments.device)
    if arguments.cool_down is not None:
        stages, checkpoint = cooled_plan(stages, run.step, arguments.cool_down), arguments.store / "cooled.pt"
    train(run, stages, arguments.data, arguments.store, checkpoint, arguments.loaders)


if __name__ == "__main__":
    main()
