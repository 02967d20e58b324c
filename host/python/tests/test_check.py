"""The check of somebody else's hypergradient finds mistakes, and none where there is none."""

import numpy as np
import pytest
from conftest import Digits

import myopia

ARGUMENTS = ([9, 4, 3], 15, 0.1, 50.0, 1.0)


def loss(case: myopia.Exported, alpha0: float, time_constant: float, beta: float) -> float:
    """The objective after training, straight from the definition."""
    layers = [
        [w.astype(float), b.astype(float)] for w, b in zip(case.weights, case.biases, strict=True)
    ]
    velocity = [[np.zeros_like(w), np.zeros_like(b)] for w, b in layers]

    def forward(rows: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        units = [case.x[rows].astype(float)]
        for place, (w, b) in enumerate(layers):
            z = units[-1] @ w + b
            units.append(np.maximum(z, 0) if place + 1 < len(layers) else z)
        z = units[-1] - units[-1].max(axis=1, keepdims=True)
        return units, z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    for k, rows in enumerate(case.batches):
        units, log_p = forward(rows)
        slope = np.exp(log_p)
        slope[np.arange(len(rows)), case.y[rows]] -= 1
        slope /= len(rows)
        rate = alpha0 / (1 + k / time_constant) ** beta
        steps = []
        for place in reversed(range(len(layers))):
            steps.append((units[place].T @ slope, slope.sum(axis=0)))
            slope = (slope @ layers[place][0].T) * (units[place] > 0)
        for layer, v, gradient in zip(layers, velocity, reversed(steps), strict=True):
            for which in range(2):
                v[which] = case.momentum * v[which] - rate * gradient[which]
                layer[which] = layer[which] + v[which]
    rows = case.objective
    return float(-np.mean(forward(rows)[1][np.arange(len(rows)), case.y[rows]]))


def by_differences(case: myopia.Exported) -> tuple[float, list[float]]:
    at = [case.alpha0, case.time_constant, case.beta]

    def slope(which: int) -> float:
        def shifted(share: float) -> float:
            return loss(case, *(x * (1 + share * (i == which)) for i, x in enumerate(at)))

        return (shifted(1e-5) - shifted(-1e-5)) / (2e-5 * at[which])

    return loss(case, *at), [slope(which) for which in range(3)]


def test_an_independent_program_agrees(digits: Digits) -> None:
    found = myopia.check_hypergradient(
        by_differences, digits.x, digits.y, *ARGUMENTS, batch=10, precision="f64", tolerance=1e-6
    )
    assert found.agrees, found
    assert found.loss_error < 1e-12 and (found.gradient_errors < 1e-6).all()
    single = myopia.check_hypergradient(by_differences, digits.x, digits.y, *ARGUMENTS, batch=10)
    assert single.agrees, single


def test_a_mistake_is_found(floats: Digits) -> None:
    def check(f: object) -> myopia.Agreement:
        return myopia.check_hypergradient(
            f,
            floats.x,
            floats.y,
            *ARGUMENTS,
            batch=10,
            precision="f64",
            tolerance=1e-6,  # type: ignore
        )

    def without_beta(case: myopia.Exported) -> tuple[float, list[float]]:
        value, (alpha0, time_constant, _) = by_differences(case)
        return value, [alpha0, time_constant, 0.0]

    assert not check(without_beta).agrees
    assert check(without_beta).gradient_errors[2] == 1.0
    assert not check(lambda case: (0.0, by_differences(case)[1])).agrees
    assert not check(lambda case: (np.nan, [np.nan] * 3)).agrees
    with pytest.raises(ValueError, match="f returned 2 derivatives; return three"):
        check(lambda case: (0.0, [1.0, 2.0]))
    with pytest.raises(ValueError, match="return both"):
        check(lambda case: 0.0)


def test_what_is_exported_is_what_the_program_exports(floats: Digits, tmp_path: object) -> None:
    from conftest import program

    case = myopia.export(floats.x, floats.y, *ARGUMENTS, batch=10, seed=3)
    words = ["--layers", "9,4,3", "--batch", 10, "--seed", 3, "--horizon", 15]
    program("hypergrad", "--data", f"npz:{floats.path}", *words, "--export", f"{tmp_path}/e")
    start = np.load(f"{tmp_path}/e/init.npz")
    for place, (weight, bias) in enumerate(zip(case.weights, case.biases, strict=True)):
        assert np.array_equal(weight, start[f"w{place}"]) and weight.dtype == np.float32
        assert np.array_equal(bias, start[f"b{place}"])
    assert np.array_equal(case.batches, np.load(f"{tmp_path}/e/batches.npy"))
    assert np.array_equal(case.objective, np.load(f"{tmp_path}/e/objective.npy"))
