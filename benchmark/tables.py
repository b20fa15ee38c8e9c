"""The README's tables of results from the raw logs: python benchmark/tables.py"""

import csv
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parent / "results"
SCRIPTS = {
    "iql": "iql.py",
    "vdn": "vdn.py",
    "qmix": "qmix.py",
    "qtran-base": "qtran.py --variant base",
    "qtran-alt": "qtran.py --variant alt",
}


def log(run):
    """The evaluations of a run, and the seconds since its start at each."""
    with open(RESULTS / run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row["eval/return_mean"]) for row in rows], [float(row["charts/seconds"]) for row in rows]


def last_five(run):
    return f"{sum(log(run)[0][-5:]) / 5:.1f}"


def table(header, rows):
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, ["---"] * len(header), *rows])


def predator_prey(env="predator_prey", optimum=28.89, share=0.9):
    """Every seed there is; when the first evaluation comes that is at least this share of the optimum."""
    rows = []
    for algo, script in SCRIPTS.items():
        logs = [log(path) for path in sorted(RESULTS.glob(f"{env}__{algo}__*"))]
        if not logs:
            continue
        finals = [returns[-1] for returns, _ in logs]
        solved = [next((s for r, s in zip(*run) if r >= share * optimum), None) for run in logs]
        row = [f"`{script}`", " / ".join(f"{x:.1f}" for x in finals), f"{median(finals) / optimum:.0%}"]
        row.append(" / ".join("-" if s is None else f"{s:.0f}" for s in solved))
        rows.append([*row, " / ".join(f"{seconds[-1]:.0f}" for _, seconds in logs)])
    seconds = f"seconds to {share:.0%} of it"
    return table(["script", "final evaluation, by seed", "median, of the optimum", seconds, "seconds in all"], rows)


def predator_prey_harsher():
    return predator_prey("predator_prey_1.5", 23.77, 0.8)


def local_view():
    return predator_prey("5x5_view/predator_prey", share=0.8)


def ablation():
    rows = []
    for variant in ("base", "alt"):
        for target in ("joint", "factored"):
            run = f"5x5_view/ablation/0.5__{variant}__{target}"
            scores = [last_five(f"{run}__{value}__1") for value in ("value", "no-value")]
            rows.append([f"`--variant {variant} --td-target {target}`", *scores])
    return table(["", "`--value-net`", "`--no-value-net`"], rows)


def gaussian_squeeze():
    runs = [(domains, seed) for domains in (1, 2) for seed in (1, 2)]
    rows = [
        [f"`{s}`", *(last_five(f"gaussian_squeeze_{k}__{algo}__{n}") for k, n in runs)] for algo, s in SCRIPTS.items()
    ]
    return table(["script", *(f"K = {domains}, seed {seed}" for domains, seed in runs)], rows)


if __name__ == "__main__":
    print(predator_prey(), predator_prey_harsher(), local_view(), ablation(), gaussian_squeeze(), sep="\n\n")
