"""A check of hypergradients that somebody else's program computes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from myopia import _myopia
from myopia._arrays import examples, words
from myopia._network import Hypergradient, Objective, Precision, hypergrad


@dataclass(frozen=True)
class Exported:
    """Everything that a hypergradient depends on."""

    weights: list[npt.NDArray[Any]]
    """Initial weights of each layer, [inputs, outputs], in the float of ``precision``."""
    biases: list[npt.NDArray[Any]]
    """Initial biases of each layer, [outputs]."""
    x: npt.NDArray[Any]
    """Inputs of all examples as the network sees them, [n, inputs]."""
    y: npt.NDArray[np.int64]
    """Their classes, [n]."""
    batches: npt.NDArray[np.uint32]
    """The numbers of the examples in the batch of each step, [horizon, batch]."""
    objective: npt.NDArray[np.uint32]
    """The numbers of the examples whose mean loss is the objective."""
    alpha0: float
    time_constant: float
    beta: float
    momentum: float


@dataclass(frozen=True)
class Agreement:
    """A hypergradient beside the exact one."""

    agrees: bool
    """Whether loss and gradient are within the tolerance."""
    loss: float
    """The loss that was to be checked."""
    gradient: npt.NDArray[np.float64]
    """The derivatives that were to be checked, by alpha0, K and beta."""
    exact: Hypergradient
    """What this package finds."""
    loss_error: float
    """The difference of the losses as a share of the exact one."""
    gradient_errors: npt.NDArray[np.float64]
    """The difference of each derivative as a share of the exact one."""


def export(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    layers: Sequence[int],
    horizon: int,
    alpha0: float,
    time_constant: float,
    beta: float,
    momentum: float = 0.9,
    batch: int = 100,
    seed: int = 1,
    precision: Precision = "f32",
    *,
    objective: Objective = "validation",
    objective_size: int | None = None,
) -> Exported:
    """What another program needs in order to recompute :func:`hypergrad` with these arguments."""
    options = dict(locals())
    inputs, labels = examples(options.pop("x"), options.pop("y"), ("x", "y"))
    found = _myopia.export(words(options), inputs, labels)
    weights, biases = [], []
    rest = found["start"]
    for rows, columns in pairwise(found["layers"]):
        weight, bias, rest = np.split(rest, [rows * columns, (rows + 1) * columns])
        weights.append(weight.reshape(rows, columns))
        biases.append(bias)
    scaled = inputs.astype(rest.dtype)
    if inputs.dtype == np.uint8:
        scaled = scaled / scaled.dtype.type(255)
    return Exported(
        weights=weights,
        biases=biases,
        x=scaled,
        y=labels,
        batches=found["batches"].reshape(-1, found["batch"]),
        objective=found["objective"],
        alpha0=alpha0,
        time_constant=time_constant,
        beta=beta,
        momentum=momentum,
    )


def check_hypergradient(
    f: Callable[[Exported], tuple[Any, Any]],
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    layers: Sequence[int],
    horizon: int,
    alpha0: float,
    time_constant: float,
    beta: float,
    momentum: float = 0.9,
    batch: int = 100,
    seed: int = 1,
    precision: Precision = "f32",
    *,
    objective: Objective = "validation",
    objective_size: int | None = None,
    tolerance: float | None = None,
) -> Agreement:
    """Compare the hypergradient that ``f`` computes with the exact one, on the same batches.

    ``f`` is given an :class:`Exported` and returns the objective's loss after training and its three
    derivatives, by alpha0, K and beta: numbers or arrays of NumPy, JAX or PyTorch. One step of
    training is v = momentum * v - alpha_k * g; w = w + v, g the gradient of the batch's mean
    cross-entropy (a ReLU's derivative at zero is zero), v zero at first, and
    alpha_k = alpha0 / (1 + k / K) ** beta with k from 0.

    They agree when the loss and each derivative differ by ``tolerance`` at most, as a share of the
    exact one: unless it is given 1e-3 in single precision and 1e-9 in double. Single precision's
    rounding grows with the horizon; to find a mistake, take ``precision="f64"``.
    """
    options = dict(locals())
    for name in ("f", "tolerance"):
        del options[name]
    theirs = f(export(**options))
    if not isinstance(theirs, (tuple, list)) or len(theirs) != 2:
        raise ValueError("f returned something else than a loss and its derivatives; return both")
    loss = float(theirs[0])
    gradient = np.asarray([float(slope) for slope in theirs[1]], dtype=np.float64)
    if gradient.shape != (3,):
        raise ValueError(
            f"f returned {len(gradient)} derivatives; return three, by alpha0, time_constant and beta"
        )
    exact = hypergrad(**options)
    loss_error = _share(np.asarray(loss), np.asarray(exact.loss))
    gradient_errors = _share(gradient, exact.gradient)
    if tolerance is None:
        tolerance = 1e-3 if precision == "f32" else 1e-9
    # Nothing that is not a number is within a tolerance.
    agrees = bool(loss_error <= tolerance) and bool(np.all(gradient_errors <= tolerance))
    return Agreement(agrees, loss, gradient, exact, float(loss_error), gradient_errors)


def _share(found: npt.NDArray[np.float64], exact: npt.NDArray[np.float64]) -> Any:
    difference = np.abs(found - exact)
    size = np.abs(exact)
    return np.divide(difference, size, out=np.where(difference > 0, np.inf, 0.0), where=size > 0)
