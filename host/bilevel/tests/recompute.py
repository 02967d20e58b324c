"""Recomputes `myopia bilevel` with NumPy alone, on random problems, and compares to 1e-10.

    python3 recompute.py PATH/TO/myopia [SEED]

Nothing is taken from the program but its output. Each relative error is of a whole vector. A problem of condition k
loses about log10(k) digits in any solver, so its bound is 1e-10 or 64·eps·k, whichever is larger; what it was is
printed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

PROGRAM = sys.argv[1]
RNG = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 2024)
EPS = np.finfo(float).eps
FOLDER = pathlib.Path(tempfile.mkdtemp())
worst = 0.0


def run(*arguments, fails=False):
    done = subprocess.run(
        [PROGRAM, "bilevel", *map(str, arguments)], capture_output=True, text=True
    )
    if fails:
        assert done.returncode == 1, (arguments, done)
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done
    assert done.returncode == 0, (arguments, done.stderr)
    return json.loads(done.stdout)


def near(found, told, bound, what):
    global worst
    found, told = np.asarray(found), np.asarray(told)
    size = np.linalg.norm(told)
    error = np.linalg.norm(found - told) / (size if size > 0 else 1.0)
    assert error <= bound, f"{what}: relative error {error:.2e} exceeds {bound:.1e}"
    worst = max(worst, error / bound)


def orthogonal(d):
    return np.linalg.qr(RNG.normal(size=(d, d)))[0]


def problem(d, p, condition, away, direct):
    q = orthogonal(d)
    h = q @ np.diag(np.geomspace(1.0 / condition, 1.0, d)) @ q.T
    b = RNG.normal(size=(d, d))
    made = {
        "H": (h + h.T) / 2,
        "A": RNG.normal(size=(d, p)),
        "G": b @ b.T / d,
        "w_star": RNG.normal(size=d),
        "lambda": RNG.normal(size=p),
    }
    if away:
        made["w"] = RNG.normal(size=d)
    if direct:
        made["direct"] = RNG.normal(size=p)
    return made


def write(made, name="problem.npz"):
    path = FOLDER / name
    np.savez(path, **made)
    return path


def total(made, x):
    """direct − (∂²f/∂w∂λ)ᵀx with ∂²f/∂w∂λ = −HA."""
    return made.get("direct", 0.0) + made["A"].T @ made["H"] @ x


def hypergradients():
    for d, p, condition, away, direct in [
        (1, 1, 1.0, False, False),
        (3, 7, 10.0, True, True),
        (12, 4, 1e3, False, True),
        (25, 25, 1e2, True, False),
        (40, 3, 1e6, False, False),
        (17, 5, 1e8, True, True),
    ]:
        made = problem(d, p, condition, away, direct)
        h, a, g = made["H"], made["A"], made["G"]
        lam = made["lambda"]
        w = made.get("w", a @ lam)
        v = g @ (w - made["w_star"])
        step, rho, damping = 0.3, 0.05, 0.02
        methods = "exact,unrolled:7,neumann:6,neumann:0,identity,cg:3,nystrom:2,damped:0.02"
        said = run(
            "hypergradient",
            "--problem",
            write(made),
            "--method",
            methods,
            "--step",
            step,
            "--rho",
            rho,
            "--check",
            "--json",
        )
        found = {entry["method"]: entry for entry in said}
        bound = max(1e-10, 64 * EPS * condition)
        exact = total(made, np.linalg.solve(h, v))
        told = {"exact": exact}
        eye = np.eye(d)
        told["neumann:6"] = total(
            made, step * sum(np.linalg.matrix_power(eye - step * h, j) for j in range(7)) @ v
        )
        told["neumann:0"] = told["identity"] = total(made, step * v)
        told["damped:0.02"] = total(made, np.linalg.solve(h + damping * eye, v))
        # Seven steps of descent from w as a function of lambda: w_7 = M^7 w + (I − M^7) A lambda.
        m7 = np.linalg.matrix_power(eye - step * h, 7)
        end = m7 @ w + (eye - m7) @ a @ lam
        told["unrolled:7"] = made.get("direct", 0.0) + a.T @ (eye - m7).T @ g @ (
            end - made["w_star"]
        )
        # Conjugate gradient's third iterate is the least of the energy norm over a Krylov space.
        k = min(3, d)
        krylov = np.linalg.qr(np.stack([np.linalg.matrix_power(h, j) @ v for j in range(k)], 1))[0]
        told["cg:3"] = total(made, krylov @ np.linalg.solve(krylov.T @ h @ krylov, krylov.T @ v))
        columns = found["nystrom:2"]["columns"]
        c = h[:, columns]
        low = c @ np.linalg.solve(c[columns], c.T)
        told["nystrom:2"] = total(made, np.linalg.solve(low + rho * eye, v))
        for name, truth in told.items():
            entry = found[name]
            near(
                entry["hypergradient"],
                truth,
                bound,
                f"{name} at d={d}, p={p}, condition {condition:g}",
            )
            size = np.linalg.norm(exact)
            relative = np.linalg.norm(np.array(truth) - exact) / size
            assert abs(entry["relative_error"] - relative) <= bound * (1 + relative), (name, entry)
            cosine = truth @ exact / (np.linalg.norm(truth) * size)
            assert abs(entry["cosine"] - cosine) <= max(1e-10, bound), (name, entry, cosine)
        products = {
            "exact": 0,
            "unrolled:7": 6,
            "neumann:6": 6,
            "neumann:0": 0,
            "identity": 0,
            "cg:3": k,
            "nystrom:2": min(2, d),
            "damped:0.02": 0,
        }
        assert {n: found[n]["products"] for n in products} == products, said
        for name in ("exact", "unrolled:7"):
            assert found[name]["check"]["relative_error"] < 1e-5 * np.sqrt(condition), found[name]


def identities():
    made = problem(9, 4, 50.0, False, True)
    said = run(
        "hypergradient",
        "--problem",
        write(made),
        "--method",
        "neumann:5,unrolled:6",
        "--step",
        0.4,
        "--json",
    )
    near(said[0]["hypergradient"], said[1]["hypergradient"], 1e-12, "K + 1 terms are K + 1 steps")
    curvatures = np.geomspace(1e-3, 1.0, 8)
    flat = {
        "H": curvatures,
        "A": np.eye(8),
        "G": np.eye(8),
        "w_star": RNG.normal(size=8),
        "lambda": RNG.normal(size=8),
    }
    said = run(
        "hypergradient",
        "--problem",
        write(flat),
        "--method",
        "exact,neumann:9",
        "--step",
        0.7,
        "--json",
    )
    exact, series = (np.array(entry["hypergradient"]) for entry in said)
    near(
        (exact - series) / exact,
        (1 - 0.7 * curvatures) ** 10,
        1e-10,
        "the filter of a Neumann series",
    )


def sort(values):
    return np.array(sorted(values, key=lambda z: (round(z.real, 9), z.imag)))


def match(found, told, what):
    """Eigenvalues as sets: each is matched with the nearest that is left."""
    left = [complex(*z) for z in found]
    assert len(left) == len(told), what
    for value in told:
        nearest = min(left, key=lambda z: abs(z - value))
        near([nearest.real, nearest.imag], [value.real, value.imag], 1e-10, what)
        left.remove(nearest)


def games():
    for d, p, condition in [(1, 1, 1.0), (4, 2, 20.0), (6, 9, 50.0), (15, 8, 100.0)]:
        made = problem(d, p, condition, False, False)
        h, a, g = made["H"], made["A"], made["G"]
        inner, outer = 0.3, 0.02 / np.linalg.norm(a.T @ g @ a, 2)
        said = run(
            "game", "--problem", write(made), "--step-inner", inner, "--step-outer", outer, "--json"
        )
        follow = np.hstack([np.eye(d) - inner * h, inner * h @ a])
        pull = outer * a.T @ g
        simultaneous = np.vstack([follow, np.hstack([-pull, np.eye(p)])])
        alternating = np.vstack([follow, np.hstack([np.zeros((p, d)), np.eye(p)]) - pull @ follow])
        match(said["simultaneous"], np.linalg.eigvals(simultaneous), f"simultaneous {d}, {p}")
        match(said["alternating"], np.linalg.eigvals(alternating), f"alternating {d}, {p}")
        match(said["stackelberg"], np.linalg.eigvals(np.eye(p) - pull @ a), f"stackelberg {d}, {p}")
        for entry, jacobian in zip(said["dynamics"], [simultaneous, alternating], strict=True):
            radius = np.abs(np.linalg.eigvals(jacobian)).max()
            assert abs(entry["spectral_radius"] - radius) < 1e-9, (entry, radius)
    # Where a game of two numbers turns: by hand, and a sweep of NumPy's eigenvalues around it.
    made = {"H": [[1.0]], "A": [[1.0]], "G": [[1.0]], "w_star": [1.0], "lambda": [0.0]}
    said = run(
        "game", "--problem", write(made), "--step-inner", 0.1, "--step-outer", 0.01, "--json"
    )
    turn = next(e for e in said["dynamics"] if e["dynamics"] == "simultaneous")["turns_at"]
    for ratio, rotates in [(turn * 0.999, False), (turn * 1.001, True)]:
        j = np.array([[0.9, 0.1], [-0.1 * ratio, 1.0]])
        assert (np.abs(np.linalg.eigvals(j).imag).max() > 0) == rotates, (turn, ratio)


def stationary():
    made = problem(5, 3, 10.0, False, False)
    h, a, g = made["H"], made["A"], made["G"]
    inner, outer = 0.2, 0.05 / np.linalg.norm(a.T @ g @ a, 2)
    said = run(
        "game",
        "--problem",
        write(made),
        "--step-inner",
        inner,
        "--step-outer",
        outer,
        "--inner-noise",
        0.5,
        "--outer-noise",
        0.25,
        "--simulate",
        20000,
        "--json",
    )
    follow = np.hstack([np.eye(5) - inner * h, inner * h @ a])
    pull = outer * a.T @ g
    jacobian = np.vstack([follow, np.hstack([-pull, np.eye(3)])])
    noise = np.zeros((8, 8))
    noise[:5, :5] = inner**2 * 0.5 * h
    noise[5:, 5:] = outer**2 * 0.25 * np.eye(3)
    covariance = np.linalg.solve(np.eye(64) - np.kron(jacobian, jacobian), noise.ravel()).reshape(
        8, 8
    )
    regret = 0.5 * np.trace(a.T @ g @ a @ covariance[5:, 5:])
    found = next(e for e in said["stationary"] if e["dynamics"] == "simultaneous")
    near([found["regret"]], [regret], 1e-10, "stationary regret")
    near(found["inner_variance"], np.diag(covariance)[:5], 1e-10, "stationary variances of w")
    near(found["outer_variance"], np.diag(covariance)[5:], 1e-10, "stationary variances of lambda")
    apart = abs(found["simulated_regret"] - regret)
    assert apart < 5 * found["standard_error"], (found["simulated_regret"], regret)


def ridge():
    n, d = 60, 7
    x, y = RNG.normal(size=(n, d)), RNG.normal(size=n)
    path = FOLDER / "ridge.csv"
    np.savetxt(
        path,
        np.column_stack([x, y]),
        delimiter=",",
        comments="",
        fmt="%.17g",
        header=",".join(f"x{i}" for i in range(d)) + ",y",
    )
    for penalty, columns in [("global", 1), ("per-weight", d)]:
        said = run(
            "hypergradient",
            "--csv",
            path,
            "--raw",
            "--validation",
            20,
            "--penalty",
            penalty,
            "--log-penalty",
            -1.5,
            "--method",
            "exact",
            "--check",
            "--json",
        )[0]
        a, b = x[:40], y[:40]
        h = a.T @ a / 40 + np.exp(-1.5) * np.eye(d)
        w = np.linalg.solve(h, a.T @ b / 40)
        v = x[40:].T @ (x[40:] @ w - y[40:]) / 20
        terms = -np.exp(-1.5) * w * np.linalg.solve(h, v)
        truth = [terms.sum()] if columns == 1 else terms
        near(said["hypergradient"], truth, 1e-10, f"ridge regression, {penalty}")
        assert said["check"]["relative_error"] < 1e-6, said["check"]


def refusals():
    base = problem(6, 2, 10.0, False, False)
    singular = dict(base, H=np.diag([1.0, 0.5, 0.0, 1.0, 1.0, 1.0]))
    q = orthogonal(6)
    hidden = q @ np.diag([0.0, 1, 2, 3, 4, 5]) @ q.T
    indefinite = q @ np.diag([-1.0, 1, 2, 3, 4, 5]) @ q.T
    for made, word in [
        (singular, "singular or indefinite"),
        (dict(base, H=(hidden + hidden.T) / 2), "singular or indefinite"),
        (dict(base, H=(indefinite + indefinite.T) / 2), "singular or indefinite"),
        (dict(base, H=np.triu(np.ones((6, 6)))), "not symmetric"),
        (dict(base, H=np.full((6, 6), np.nan)), "not finite"),
        (dict(base, A=base["A"][:5]), "shape"),
    ]:
        for method in ("exact", "cg:3", "neumann:4"):
            done = run(
                "hypergradient", "--problem", write(made), "--method", method, "--json", fails=True
            )
            assert word in done.stderr and not done.stdout, done
    hard = problem(60, 2, 1e13, False, False)
    done = run(
        "hypergradient",
        "--problem",
        write(hard),
        "--method",
        "cg",
        "--tolerance",
        1e-15,
        "--json",
        fails=True,
    )
    assert "conjugate gradient did not converge" in done.stderr and not done.stdout, done
    done = run(
        "game",
        "--problem",
        write(base),
        "--step-inner",
        0.1,
        "--step-outer",
        1e4,
        "--json",
        fails=True,
    )
    assert "unstable" in done.stderr, done


def warm():
    d, p, steps, rate = 5, 7, 4, 0.6
    h = np.array([1.0, 0.7, 0.4, 0.2, 0.0])
    made = {"H": h, "A": RNG.normal(size=(d, p)) / np.sqrt(d), "w_star": RNG.normal(size=d)}
    said = run(
        "warm",
        "quadratic",
        "--problem",
        write(made),
        "--inner-rate",
        rate,
        "--inner-steps",
        steps,
        "--outer-rate",
        0.3,
        "--outer-steps",
        200000,
        "--json",
    )
    share = np.eye(d) - np.linalg.matrix_power(np.eye(d) - rate * np.diag(h), steps)
    curved = np.diag((h > 0).astype(float))
    cold = np.linalg.pinv(share @ made["A"]) @ made["w_star"]
    kept = np.linalg.pinv(curved @ made["A"]) @ curved @ made["w_star"]
    for entry, told in zip(said, [cold, kept], strict=True):
        near(entry["lambda"], told, 1e-9, f"warm: {entry['warm']}")
        near([entry["norm"]], [np.linalg.norm(told)], 1e-9, "norm")
        again = 0.5 * np.sum((curved @ (share @ made["A"] @ told - made["w_star"])) ** 2)
        assert abs(entry["retrained"] - again) < 1e-8 * (1 + again), (entry["retrained"], again)
        long = 0.5 * np.sum((curved @ (made["A"] @ told - made["w_star"])) ** 2)
        assert abs(entry["converged"] - long) < 1e-8 * (1 + long), (entry["converged"], long)


def stn():
    made = problem(6, 3, 8.0, False, False)
    said = run(
        "stn", "quadratic", "--problem", write(made), "--spread", 0.5, "--steps", 10, "--json"
    )
    lam, s = made["lambda"], 0.5
    kappa = np.linalg.cond(made["H"])
    for entry in said["conditions"]:
        m = np.zeros(3) if entry["method"] == "delta-stn" else lam
        gram = np.block([[np.eye(1), m[None]], [m[:, None], np.outer(m, m) + s * s * np.eye(3)]])
        near([entry["features"]], [np.linalg.cond(gram)], 1e-10, "condition of the features")
        near([entry["response"]], [np.linalg.cond(np.kron(made["H"], gram))], 1e-10, "condition")
    assert kappa > 1


CHECKS = [hypergradients, identities, games, stationary, ridge, refusals, warm, stn]

for check in CHECKS:
    check()
    print(f"{check.__name__}: holds")
print(f"the largest error is {worst:.2e} of its bound")
