"""The noisy quadratic: losses of learning-rate schedules, exact in float64.

Directions are given by columns, float64 [d]: ``curvature`` h and ``noise_variance``, and where
training starts, ``initial_mean`` (zeros unless given) and ``initial_variance`` (ones). The expected
loss is the sum over directions of h * (E[theta ** 2] + noise variance) / 2.

Raises ValueError for what makes no sense, RuntimeError when a loss leaves the finite range.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from myopia import _myopia
from myopia._arrays import Column, column

__all__ = ["Run", "greedy", "losses", "optimal", "replan"]


@dataclass(frozen=True)
class Run:
    """A schedule and what it does."""

    learning_rate: Column
    """Of each step, float64 [steps]."""
    momentum: Column
    """Of each step, float64 [steps]."""
    losses: Column
    """The expected loss before the first step and after each, float64 [steps + 1]."""
    cooled_losses: Column
    """What ten more steps at the best rates would reach from each of these, float64 [steps + 1]."""
    noiseless_losses: Column
    """The loss in each of these states without what noise has added, float64 [steps + 1]."""
    loss: float
    """The expected loss after the last step."""
    excess_loss: float
    """The same above the part that no schedule lowers."""
    gradient_norm: float | None
    """Of a schedule that was searched for: the norm of the loss's gradient there."""
    iterations: int | None
    """Likewise the evaluations of loss and gradient."""
    stationary: bool | None
    """Likewise whether the gradient is as small as rounding allows."""


def losses(
    curvature: npt.ArrayLike,
    noise_variance: npt.ArrayLike,
    learning_rate: npt.ArrayLike,
    initial_mean: npt.ArrayLike | None = None,
    initial_variance: npt.ArrayLike | None = None,
    momentum: npt.ArrayLike = 0.0,
) -> Run:
    """What the schedule ``learning_rate``, float64 [steps], does; ``momentum`` is one number or one
    for each step."""
    rates = column(learning_rate, "learning_rate")
    momenta = np.asarray(momentum, dtype=np.float64)
    if momenta.ndim == 0:
        momenta = np.full(len(rates), momenta)
    given = (rates, column(momenta, "momentum"))
    return _run(curvature, noise_variance, initial_mean, initial_variance, None, given, None, 0.0)


def greedy(
    curvature: npt.ArrayLike,
    noise_variance: npt.ArrayLike,
    steps: int,
    initial_mean: npt.ArrayLike | None = None,
    initial_variance: npt.ArrayLike | None = None,
    momentum: float = 0.0,
) -> Run:
    """In each of ``steps`` steps the learning rate that is best for the next loss."""
    start = (initial_mean, initial_variance)
    return _run(curvature, noise_variance, *start, "greedy", None, steps, momentum)


def optimal(
    curvature: npt.ArrayLike,
    noise_variance: npt.ArrayLike,
    steps: int,
    initial_mean: npt.ArrayLike | None = None,
    initial_variance: npt.ArrayLike | None = None,
    momentum: float = 0.0,
) -> Run:
    """The ``steps`` learning rates that are best for the loss after the last of them."""
    start = (initial_mean, initial_variance)
    return _run(curvature, noise_variance, *start, "optimal", None, steps, momentum)


def replan(
    curvature: npt.ArrayLike,
    noise_variance: npt.ArrayLike,
    steps: int,
    horizon: int,
    initial_mean: npt.ArrayLike | None = None,
    initial_variance: npt.ArrayLike | None = None,
    momentum: float = 0.0,
) -> Run:
    """In each of ``steps`` steps the first of the learning rates that are best for the loss
    ``horizon`` steps ahead."""
    start = (initial_mean, initial_variance)
    return _run(curvature, noise_variance, *start, f"replan:{horizon}", None, steps, momentum)


def _run(
    curvature: npt.ArrayLike,
    noise_variance: npt.ArrayLike,
    initial_mean: npt.ArrayLike | None,
    initial_variance: npt.ArrayLike | None,
    schedule: str | None,
    given: tuple[Column, Column] | None,
    steps: int | None,
    momentum: float,
) -> Run:
    def optional(values: npt.ArrayLike | None, name: str) -> Column | None:
        return None if values is None else column(values, name)

    found = _myopia.nqm(
        column(curvature, "curvature"),
        column(noise_variance, "noise_variance"),
        optional(initial_mean, "initial_mean"),
        optional(initial_variance, "initial_variance"),
        schedule,
        given,
        steps,
        momentum,
    )
    return Run(**found)
