"""Muon: momentum whose matrices are brought to a common scale in every direction before each step; for the weights of convolutions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
# Of the quintic iteration x -> a x + b x^3 + c x^5 on singular values: Jordan et al., "Muon: An optimizer for hidden layers", 2024.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """(n, rows, columns), rows <= columns: all singular values brought near 1 (.7 to 1.2), directions kept. In bfloat16, which suffices."""
    a, b, c = QUINTIC
    x = matrices.bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    A step's root mean square is 0.2 times the rate, about as AdamW's is, so that both take the same rates and decays (Liu et al., "Muon is
    Scalable for LLM Training", 2025). A convolution's weights (outputs, inputs, k, k) count as a matrix (outputs, inputs k k).
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, _: None = None) -> None:  # type: ignore[override]
        """One step; weights of one shape are taken together."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape[0], weight[0].numel()].append(weight)
            for (rows, columns), weights in by_shape.items():
                updates = orthogonalised_updates(torch.stack([self._momentum(weight).reshape(rows, columns) for weight in weights]))
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.reshape(weight.shape), alpha=-group["lr"])

    def _momentum(self, weight: nn.Parameter) -> Tensor:
        assert weight.grad is not None
        if "momentum" not in self.state[weight]:
            self.state[weight]["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = self.state[weight]["momentum"]
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(momentum, MOMENTUM)


def orthogonalised_updates(matrices: Tensor) -> Tensor:
    """(n, rows, columns) of momenta as updates with a root mean square near 0.2."""
    rows, columns = matrices.shape[1:]
    turned = matrices.mT if rows > columns else matrices
    updates = orthogonalised(turned) * (0.2 * max(rows, columns) ** 0.5)
    return updates.mT if rows > columns else updates
