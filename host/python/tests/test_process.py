"""Signals, threads, and the program that is installed with the module."""

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from conftest import PROGRAM, Digits

import myopia


def started(*command: object) -> subprocess.Popen[str]:
    """A process that hears Ctrl-C, although whoever started the tests may ignore it."""
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


LONG = {
    "hypergrad": "myopia.hypergrad(x, y, [50, 60, 2], 10**9, .01, 50., 1.)",
    "train": "myopia.train(x, y, [50, 60, 2], 10**7, .01, 50., 1.)",
    "meta_descent": "next(myopia.meta_descent(x, y, [50, 60, 2], 10**9, .01, 50., 1.))",
    "optimal": "myopia.nqm.optimal(1 / np.arange(1., 3e5), np.ones(3 * 10**5 - 1), 200)",
}


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_is_heard_and_the_interpreter_goes_on(name: str) -> None:
    script = f"""
import numpy as np, myopia
x, y = np.random.default_rng(1).random((600, 50)), np.arange(600) % 2
print("begun", flush=True)
try:
    {LONG[name]}
except KeyboardInterrupt:
    print("heard", myopia.nqm.greedy([1.], [1.], 2).losses.shape)
"""
    child = started(sys.executable, "-c", script)
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    time.sleep(1.0)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (0, "heard (3,)\n", "")
    assert time.monotonic() - began < 30


def test_other_threads_run_while_it_computes() -> None:
    x, y = np.random.default_rng(1).random((600, 50)), np.arange(600) % 2
    found: list[myopia.Training] = []
    work = threading.Thread(
        target=lambda: found.append(myopia.train(x, y, [50, 60, 2], 3000, 0.01, 50.0, 1.0))
    )
    work.start()
    turns = 0
    while work.is_alive():
        turns += 1
        time.sleep(0.001)
    assert turns > 20 and len(found) == 1


def test_the_program_is_installed_and_is_the_program(tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("myopia")
    words = ["hypergrad", "--horizon", "5", "--layers", "64,4,10", "--json"]

    def said(*command: object) -> tuple[int, str, str]:
        found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        return found.returncode, found.stdout, found.stderr

    for arguments in [
        words,
        ["--version"],
        ["train", "--steps", "x"],
        ["train", "--batch", "0"],
        ["--help"],
        ["train", "--data", "npz:no/such.npz"],
    ]:
        expected = said(PROGRAM, *arguments)
        assert said(installed, *arguments) == expected, arguments
        assert said(sys.executable, "-m", "myopia", *arguments) == expected, arguments
    train = ["train", "--steps", "3", "--layers", "64,4,10", "--quiet", "--out"]
    assert said(installed, *train, tmp_path / "out")[0] == 0
    assert "myopia train --steps 3" in (tmp_path / "out" / ".myopia.files").read_text()


def test_the_installed_program_hears_signals(tmp_path: Path) -> None:
    installed = Path(sys.executable).with_name("myopia")
    words = ["--layers", "64,4,10", "--steps", "5e6", "--checkpoint-every", "0"]
    child = started(installed, "train", *words, "--out", tmp_path / "out")
    while not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir()):
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    time.sleep(1.0)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 75 and "stopped before the end" in err, err
    # A command that does not listen is ended by it as any program.
    child = started(installed, "bench", "--threads", "1")
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT


def test_an_array_that_floats_were_changed_for_has_the_same_bits(floats: Digits) -> None:
    plain = myopia.hypergrad(floats.x, floats.y, [9, 4, 3], 5, 0.1, 50.0, 1.0, batch=10)
    for threads in ["1", "2"]:
        script = (
            "import numpy as np, myopia\n"
            f"d = np.load({str(floats.path)!r})\n"
            "print(myopia.hypergrad(d['x_train'], d['y_train'], [9, 4, 3], 5, .1, 50., 1., batch=10).digest)"
        )
        environment = {**os.environ, "RAYON_NUM_THREADS": threads}
        found = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        assert found.stdout.strip() == plain.digest, found.stderr


def test_the_versions_are_one() -> None:
    assert myopia.__version__ == version("myopia")
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout
    assert said == f"myopia {myopia.__version__}\n"
