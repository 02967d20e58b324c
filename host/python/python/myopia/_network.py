"""Networks: hypergradients, meta-descent, training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from myopia import _myopia
from myopia._arrays import Option, examples, words

Precision = Literal["f32", "f64"]
Objective = Literal["validation", "train"]
Optimizer = Literal["sgd", "rmsprop", "adam"]
Record = dict[str, int | float]


@dataclass(frozen=True)
class Hypergradient:
    """What a look-ahead found."""

    loss: float
    """Mean loss of the objective after the horizon, in nats."""
    gradient: npt.NDArray[np.float64]
    """Its derivatives, float64 [3]: by alpha0, K (per step) and beta, or by what ``tune`` names."""
    names: list[str]
    """By what it is differentiated."""
    accuracy: float
    """Share of the objective's examples that are classified correctly."""
    digest: str
    """Digest of the final state's bits, as the program prints it."""
    digest_tangents: str
    """Digest of its tangents' bits, one for every three of ``names``."""


@dataclass(frozen=True)
class Judged:
    """Loss and accuracy on a set of examples."""

    loss: float
    """In nats."""
    accuracy: float
    """Share of the examples that are classified correctly."""


@dataclass(frozen=True)
class Training:
    """What training came to."""

    learning_rate: npt.NDArray[np.float64]
    """The rate of each step, float64 [steps]."""
    loss: npt.NDArray[np.float64]
    """The mean loss of each step's batch before the update, in nats, float64 [steps]."""
    judged: Judged
    """On the objective's examples."""
    test: Judged | None
    """On ``x_test``, if it was given."""
    digest: str
    """Digest of the final state's bits, as the program prints it."""


def hypergrad(
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
    pretrain: int = 0,
    pretrain_rate: float = 0.1,
    optimizer: Optimizer | None = None,
    nesterov: bool = False,
    rho: float | None = None,
    epsilon: float | None = None,
    epsilon_inside: bool = False,
    epsilon_root: float | None = None,
    beta1: float | None = None,
    beta2: float | None = None,
    weight_decay: float | None = None,
    decoupled: bool = False,
    tune: Sequence[str] | None = None,
) -> Hypergradient:
    """Train for ``horizon`` steps with the rate alpha0 / (1 + k / K) ** beta, K = ``time_constant``
    in steps, and differentiate the objective by the schedule.

    ``x`` is uint8 (each divided by 255), float32 or float64, [n, inputs]; ``y`` integer [n], the
    classes 0, 1, 2, ... without a gap. The last sixth of the examples is held out and judges;
    with ``objective="train"`` those trained on judge. ``layers`` goes from inputs to classes.
    ``tune`` names other hyperparameters to differentiate by, such as ``["alpha0", "momentum"]``.

    Raises ValueError for what makes no sense, RuntimeError when training diverges.
    """
    given = _given(locals())
    inputs, labels = examples(x, y, ("x", "y"))
    return Hypergradient(**_myopia.hypergrad(words(given), inputs, labels))


def meta_descent(
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
    meta_steps: int = 100,
    meta_lr: float = 0.1,
    outer: Literal["adam", "momentum"] = "adam",
    clip: float = 10.0,
    fix: Sequence[str] | None = None,
    objective: Objective = "validation",
    objective_size: int | None = None,
    pretrain: int = 0,
    pretrain_rate: float = 0.1,
    optimizer: Optimizer | None = None,
    nesterov: bool = False,
    rho: float | None = None,
    epsilon: float | None = None,
    epsilon_inside: bool = False,
    epsilon_root: float | None = None,
    beta1: float | None = None,
    beta2: float | None = None,
    weight_decay: float | None = None,
    decoupled: bool = False,
    tune: Sequence[str] | None = None,
) -> Iterator[Record]:
    """Tune the schedule by repeated look-aheads of ``horizon`` steps, from the one that is given on.

    Yields ``meta_steps`` + 1 dictionaries, each with ``meta_step``, ``alpha0``, ``time_constant``
    and ``beta`` (and whatever else ``tune`` names), the ``loss`` that they reach, in nats, and its
    derivatives ``d_alpha0``, ...: what :class:`pandas.DataFrame` takes. Each is computed when it is
    asked for; after a KeyboardInterrupt the iterator goes on where it was.

    The arguments are those of :func:`hypergrad` and ``myopia meta``. What makes no sense is refused
    here, before the first look-ahead.

    Raises ValueError for what makes no sense, RuntimeError when training diverges.
    """
    given = _given(locals())
    inputs, labels = examples(x, y, ("x", "y"))
    return _Records(_myopia.Descent(words(given), inputs, labels))


class _Records(Iterator[Record]):
    def __init__(self, descent: _myopia.Descent) -> None:
        self._descent = descent

    def __next__(self) -> Record:
        return self._descent.next_record()


def train(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    layers: Sequence[int],
    steps: int,
    alpha0: float,
    time_constant: float,
    beta: float,
    momentum: float = 0.9,
    batch: int = 100,
    seed: int = 1,
    precision: Precision = "f32",
    *,
    x_test: npt.ArrayLike | None = None,
    y_test: npt.ArrayLike | None = None,
    objective: Objective = "validation",
    objective_size: int | None = None,
    pretrain: int = 0,
    pretrain_rate: float = 0.1,
    optimizer: Optimizer | None = None,
    nesterov: bool = False,
    rho: float | None = None,
    epsilon: float | None = None,
    epsilon_inside: bool = False,
    epsilon_root: float | None = None,
    beta1: float | None = None,
    beta2: float | None = None,
    weight_decay: float | None = None,
    decoupled: bool = False,
) -> Training:
    """Train for ``steps`` steps with the rate alpha0 / (1 + k / K) ** beta and judge the result.

    ``x_test`` and ``y_test`` are of the types of ``x`` and ``y``; the other arguments are those of
    :func:`hypergrad`.

    Raises ValueError for what makes no sense, RuntimeError when training diverges.
    """
    given = _given(locals())
    inputs, labels = examples(x, y, ("x", "y"))
    if (x_test is None) != (y_test is None):
        raise ValueError("x_test and y_test belong together; give both or neither")
    test = None
    if x_test is not None and y_test is not None:
        test = examples(x_test, y_test, ("x_test", "y_test"))
    found = _myopia.train(words(given), inputs, labels, test)
    found["judged"] = Judged(*found["judged"])
    found["test"] = found["test"] and Judged(*found["test"])
    return Training(**found)


def _given(arguments: dict[str, Any]) -> dict[str, Option]:
    """The arguments that are options of the command."""
    arrays = ("x", "y", "x_test", "y_test")
    return {name: value for name, value in arguments.items() if name not in arrays}
