"""The program, and data that both it and the module are given."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = os.environ["MYOPIA_PROGRAM"]


def program(*arguments: object) -> Any:
    """What the program prints as JSON."""
    command = [PROGRAM, *map(str, arguments), "--json", "--quiet"]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


class Digits:
    """Sixty examples of nine inputs in three classes, and twelve to test on, also as an archive."""

    def __init__(self, folder: Path, kind: str) -> None:
        random = np.random.default_rng(7)
        bytes_ = random.integers(0, 256, (72, 9), dtype=np.uint8)
        bytes_[random.random((72, 9)) < 0.5] = 0
        x = {
            "uint8": bytes_,
            "float32": (bytes_ / 255).astype(np.float32),
            "float64": bytes_ / 255,
        }[kind]
        y = np.arange(72) % 3
        self.x, self.x_test = x[:60], x[60:]
        self.y, self.y_test = y[:60], y[60:]
        self.path = folder / f"{kind}.npz"
        np.savez(self.path, x_train=self.x, y_train=self.y, x_test=self.x_test, y_test=self.y_test)


@pytest.fixture(params=["uint8", "float32", "float64"])
def digits(request: pytest.FixtureRequest, tmp_path: Path) -> Digits:
    return Digits(tmp_path, request.param)


@pytest.fixture
def floats(tmp_path: Path) -> Digits:
    return Digits(tmp_path, "float32")
