"""Networks have the bits of the program."""

import csv
from pathlib import Path

import numpy as np
import pytest
from conftest import Digits, program

import myopia

LAYERS = [9, 4, 3]
SCHEDULE = (0.1, 50.0, 1.0)
WORDS = ["--layers", "9,4,3", "--batch", 10, "--alpha0", 0.1, "--time-constant", 50, "--beta", 1]


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_a_hypergradient_is_the_program_s(digits: Digits, precision: str) -> None:
    found = myopia.hypergrad(
        digits.x, digits.y, LAYERS, 20, *SCHEDULE, batch=10, precision=precision
    )
    data = ["--data", f"npz:{digits.path}", "--precision", precision]
    printed = program("hypergrad", *data, *WORDS, "--horizon", 20)
    assert found.gradient.dtype == np.float64 and found.gradient.shape == (3,)
    assert found.gradient.tolist() == [printed["derivatives"][name] for name in found.names]
    assert found.names == ["alpha0", "time-constant", "beta"]
    for name in ["loss", "accuracy", "digest", "digest_tangents"]:
        assert getattr(found, name) == printed[name], name


def test_every_option_is_the_program_s(floats: Digits) -> None:
    data = ["--data", f"npz:{floats.path}"]
    found = myopia.hypergrad(
        floats.x,
        floats.y,
        LAYERS,
        12,
        *SCHEDULE,
        batch=10,
        seed=5,
        optimizer="adam",
        epsilon=1e-3,
        weight_decay=0.01,
        decoupled=True,
        tune=["alpha0", "epsilon", "beta2", "beta"],
        objective="train",
        objective_size=30,
        pretrain=3,
        pretrain_rate=0.05,
    )
    printed = program(
        "hypergrad",
        *data,
        *WORDS,
        "--horizon",
        12,
        "--seed",
        5,
        "--optimizer",
        "adam",
        "--epsilon",
        1e-3,
        "--weight-decay",
        0.01,
        "--decoupled",
        "--tune",
        "alpha0,epsilon,beta2,beta",
        "--objective",
        "train",
        "--objective-size",
        30,
        "--pretrain",
        3,
        "--pretrain-rate",
        0.05,
    )
    assert dict(zip(found.names, found.gradient.tolist(), strict=True)) == printed["derivatives"]
    assert (found.digest, found.digest_tangents) == (printed["digest"], printed["digest_tangents"])


def test_a_meta_descent_is_the_program_s(floats: Digits, tmp_path: Path) -> None:
    descent = myopia.meta_descent(
        floats.x, floats.y, LAYERS, 10, *SCHEDULE, batch=10, meta_steps=5, meta_lr=0.2
    )
    first = next(descent)
    assert list(first) == [
        "meta_step",
        "alpha0",
        "time_constant",
        "beta",
        "loss",
        "d_alpha0",
        "d_time_constant",
        "d_beta",
    ]
    records = [first, *descent]
    out = tmp_path / "out"
    program(
        "meta",
        "--data",
        f"npz:{floats.path}",
        *WORDS,
        "--horizon",
        10,
        "--meta-steps",
        5,
        "--meta-lr",
        0.2,
        "--out",
        out,
    )
    with open(out / "trajectory.csv") as table:
        rows = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(table)]
    assert records == rows and len(rows) == 6
    assert list(descent) == []


def test_training_is_the_program_s(digits: Digits) -> None:
    found = myopia.train(
        digits.x,
        digits.y,
        LAYERS,
        30,
        *SCHEDULE,
        batch=10,
        x_test=digits.x_test,
        y_test=digits.y_test,
    )
    printed = program("train", "--data", f"npz:{digits.path}", *WORDS, "--steps", 30)
    assert found.test is not None
    for part in ["judged", "test"]:
        for name in ["loss", "accuracy"]:
            assert getattr(getattr(found, part), name) == printed[part][name], (part, name)
    assert found.digest == printed["digest"]
    assert found.learning_rate.shape == found.loss.shape == (30,)
    without = myopia.train(digits.x, digits.y, LAYERS, 30, *SCHEDULE, batch=10)
    assert without.test is None and without.digest == found.digest


def test_arrays_of_any_layout_are_the_same_examples(floats: Digits) -> None:
    def digest(x: object, y: object) -> str:
        return myopia.hypergrad(x, y, LAYERS, 5, *SCHEDULE, batch=10).digest  # type: ignore

    plain = digest(floats.x, floats.y)
    assert digest(np.asfortranarray(floats.x), floats.y.astype(np.uint8)) == plain
    assert digest(np.repeat(floats.x, 2, axis=0)[::2], np.repeat(floats.y, 2)[::2]) == plain
    assert digest(floats.x.reshape(60, 3, 3), floats.y.tolist()) == plain
    assert digest(floats.x[::-1], floats.y[::-1]) != plain


def changed(array: np.ndarray, at: object, to: float) -> np.ndarray:
    array = array.copy()
    array[at] = to
    return array


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {"x": lambda x: changed(x, (3, 1), np.nan)},
            "x: input 1 of example 3, counted from 0, is nan",
        ),
        ({"x": lambda x: x.astype(np.int64)}, "x is of type int64; give uint8"),
        ({"x": lambda x: x[0]}, r"x has shape \(9,\); give the examples along the first axis"),
        ({"x": lambda x: x[:5]}, "x: 5 examples, but 60 labels in y"),
        ({"x": lambda x: x[:, :8]}, "layers 9,4,3 does not fit the data"),
        ({"y": lambda y: y + 1}, "y: the labels run up to 3, and no example has 0"),
        ({"y": lambda y: y * 0}, "y: every example has the label 0"),
        ({"y": lambda y: y - 1}, "y: example 0, counted from 0, has the label -1"),
        ({"y": lambda y: y.astype(float)}, "y is of type float64; give whole numbers"),
        ({"layers": [9]}, "layers 9: a network needs at least two sizes"),
        ({"alpha0": -1.0}, "alpha0 -1.0 time_constant 50.0 beta 1.0: "),
        ({"alpha0": "fast"}, "invalid value 'fast' for 'alpha0"),
        ({"batch": 1000}, "batch 1000 must be between 1 and 50"),
        ({"momentum": 1.0}, "momentum 1 is outside 0..1"),
        ({"horizon": -1}, "invalid value '-1' for 'horizon"),
        ({"precision": "f16"}, "invalid value 'f16' for 'precision"),
        ({"rho": 0.5}, "rho is an option of rmsprop; give optimizer rmsprop"),
        ({"tune": ["alpha0", "alpha0"]}, "tune names alpha0 twice"),
    ],
)
def test_what_makes_no_sense_is_refused(
    floats: Digits, options: dict[str, object], words: str
) -> None:
    arguments = {
        "x": floats.x,
        "y": floats.y,
        "layers": LAYERS,
        "horizon": 5,
        "alpha0": 0.1,
        "time_constant": 50.0,
        "beta": 1.0,
        "batch": 10,
    }
    for name, value in options.items():
        arguments[name] = value(arguments[name]) if callable(value) else value  # type: ignore
    with pytest.raises(ValueError, match=words.replace("nan", "[Nn]a[Nn]")) as refused:
        myopia.hypergrad(**arguments)  # type: ignore
    said = str(refused.value)
    assert "--" not in said and "\n" not in said, said


def test_training_that_diverges_is_a_runtime_error(floats: Digits) -> None:
    # Without hidden units, none of which can die.
    layers, rates = [9, 3], (3e38, 50.0, 0.0)
    with pytest.raises(RuntimeError, match="training diverged: .*; lower alpha0 or horizon"):
        myopia.hypergrad(floats.x, floats.y, layers, 50, *rates, batch=10)
    with pytest.raises(RuntimeError, match="training diverged: .*; lower alpha0"):
        myopia.train(floats.x, floats.y, layers, 50, *rates, batch=10)
    with pytest.raises(ValueError, match="alpha0 is 1.* where the descent starts"):
        myopia.meta_descent(floats.x, floats.y, LAYERS, 50, 1e30, 50.0, 1.0, batch=10)
    with pytest.raises(ValueError, match="x_test and y_test belong together"):
        myopia.train(floats.x, floats.y, LAYERS, 5, *SCHEDULE, batch=10, x_test=floats.x)
