"""The README's tables of results from the raw logs: python benchmark/tables.py"""

import csv
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
SCRIPTS = {
    "iql": "iql.py",
    "vdn": "vdn.py",
    "qmix": "qmix.py",
    "qtran-base": "qtran.py --variant base",
    "qtran-alt": "qtran.py --variant alt",
}


def log(run):
    """The evaluations of a run and its duration in seconds."""
    with open(RESULTS / run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row["eval/return_mean"]) for row in rows], float(rows[-1]["charts/seconds"])


def last_five(run):
    return f"{sum(log(run)[0][-5:]) / 5:.1f}"


def table(header, rows):
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, ["---"] * len(header), *rows])


def predator_prey():
    rows = []
    for algo, script in SCRIPTS.items():
        for seed in (1, 2, 3):
            returns, seconds = log(f"predator_prey__{algo}__{seed}")
            rows.append([f"`{script}`", seed, f"{returns[-1]:.1f}", f"{seconds:.0f} s"])
    return table(["script", "seed", "final evaluation", "time"], rows)


def predator_prey_harsher():
    """Means of the five evaluations up to these steps; an evaluation is made every 20,000."""
    rows = []
    for algo in ("vdn", "qtran-alt"):
        returns, _ = log(f"predator_prey_1.5__{algo}__1")
        means = [f"{sum(returns[n - 5 : n]) / 5:.1f}" for n in (25, 50, 75, 100)]
        rows.append([f"`{SCRIPTS[algo]}`", *means])
    return table(["script", "500,000 steps", "1,000,000", "1,500,000", "2,000,000"], rows)


def ablation():
    rows = []
    for variant in ("base", "alt"):
        for target in ("joint", "factored"):
            scores = [last_five(f"ablation/0.5__{variant}__{target}__{value}__1") for value in ("value", "no-value")]
            rows.append([f"`--variant {variant} --td-target {target}`", *scores])
    return table(["", "`--value-net`", "`--no-value-net`"], rows)


def gaussian_squeeze():
    runs = [(domains, seed) for domains in (1, 2) for seed in (1, 2)]
    rows = [
        [f"`{s}`", *(last_five(f"gaussian_squeeze_{k}__{algo}__{n}") for k, n in runs)] for algo, s in SCRIPTS.items()
    ]
    return table(["script", *(f"K = {domains}, seed {seed}" for domains, seed in runs)], rows)


if __name__ == "__main__":
    print(predator_prey(), predator_prey_harsher(), ablation(), gaussian_squeeze(), sep="\n\n")
