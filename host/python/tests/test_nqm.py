"""The noisy quadratic has the digits of the program."""

from pathlib import Path

import numpy as np
import pytest
from conftest import program

import myopia

H = 1 / np.arange(1, 31)


def same(run: myopia.nqm.Run, printed: dict[str, object]) -> None:
    assert run.learning_rate.dtype == run.losses.dtype == np.float64
    assert run.learning_rate.tolist() == printed["learning_rates"]
    assert run.momentum.tolist() == printed["momenta"]
    for name in ["losses", "cooled_losses", "noiseless_losses"]:
        assert getattr(run, name).tolist() == printed[name], name
    for name in ["loss", "excess_loss", "gradient_norm", "iterations", "stationary"]:
        assert getattr(run, name) == printed.get(name), name


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_schedules_are_the_program_s(momentum: float) -> None:
    common = ["nqm", "--dim", 30, "--steps", 12, "--momentum", momentum, "--schedule"]
    arguments = (H, 1 / H, 12)
    optimal = myopia.nqm.optimal(*arguments, momentum=momentum)
    assert optimal.learning_rate.shape == (12,) and optimal.losses.shape == (13,)
    same(optimal, program(*common, "optimal"))
    same(myopia.nqm.greedy(*arguments, momentum=momentum), program(*common, "greedy"))
    replan = myopia.nqm.replan(*arguments, 3, momentum=momentum)
    same(replan, program(*common, "replan:3"))
    given = myopia.nqm.losses(H, 1 / H, optimal.learning_rate, momentum=momentum)
    assert given.losses.tolist() == optimal.losses.tolist()
    assert given.excess_loss == optimal.excess_loss
    assert given.gradient_norm is None


def test_every_column_counts(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    columns = random.uniform(0.1, 1, (4, 20))
    path = tmp_path / "spectrum.csv"
    names = "curvature,noise_variance,initial_mean,initial_variance"
    rows = "\n".join(",".join(map(repr, row)) for row in columns.T.tolist())
    path.write_text(f"{names}\n{rows}\n")
    h, noise, mean, variance = columns
    run = myopia.nqm.optimal(h, noise, 8, mean, variance)
    same(run, program("nqm", "--spectrum", f"file:{path}", "--steps", 8, "--schedule", "optimal"))
    assert run.losses[0] == pytest.approx(np.sum(h * (mean**2 + variance + noise)) / 2)
    assert run.excess_loss != myopia.nqm.optimal(h, noise, 8).excess_loss
    # A column that is strided or of another type is the same numbers.
    strided = np.repeat(h, 2)[::2]
    assert myopia.nqm.optimal(strided, list(noise), 8, mean, variance).loss == run.loss


@pytest.mark.parametrize(
    "curvature, noise, steps, momentum, words",
    [
        ([], [], 3, 0.0, "there are no directions"),
        ([1.0], [1.0, 2.0], 3, 0.0, "noise_variance has 2 directions and curvature has 1"),
        ([1.0, -1.0], [1.0, 1.0], 3, 0.0, "direction 2"),
        ([np.nan], [1.0], 3, 0.0, "direction 1"),
        ([[1.0]], [1.0], 3, 0.0, r"curvature has shape \(1, 1\); give a vector"),
        ([1.0], [1.0], 0, 0.0, "steps is 0; give at least one step"),
        ([1.0], [1.0], 3, 1.0, "momentum is 1; give a number from 0 up to"),
        ([1e200], [1.0], 3, 0.0, "scale the curvatures down"),
    ],
)
def test_what_makes_no_sense_is_refused(
    curvature: list[float], noise: list[float], steps: int, momentum: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        myopia.nqm.optimal(curvature, noise, steps, momentum=momentum)
    assert "--" not in str(refused.value)


def test_given_schedules_are_checked() -> None:
    with pytest.raises(ValueError, match="the learning rate of step 1 is -0.5; give zero"):
        myopia.nqm.losses([1.0], [1.0], [0.1, -0.5])
    with pytest.raises(ValueError, match="2 learning rates and 1 momenta"):
        myopia.nqm.losses([1.0], [1.0], [0.1, 0.5], momentum=[0.0])
    with pytest.raises(RuntimeError, match="lower the learning rate"):
        myopia.nqm.losses([1.0], [1.0], np.full(400, 1e10))
