"""The tables of the README beside this file, from the raw logs: python benchmark/results/5x5_view/tables.py"""

import csv
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parent
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


def predator_prey(optimum=28.89, share=0.8):
    """Every seed there is; when the first evaluation comes that is at least this share of the optimum."""
    rows = []
    for algo, script in SCRIPTS.items():
        logs = [log(path) for path in sorted(RESULTS.glob(f"predator_prey__{algo}__*"))]
        if not logs:
            continue
        finals = [returns[-1] for returns, _ in logs]
        solved = [next((s for r, s in zip(*run) if r >= share * optimum), None) for run in logs]
        row = [f"`{script}`", " / ".join(f"{x:.1f}" for x in finals), f"{median(finals) / optimum:.0%}"]
        row.append(" / ".join("-" if s is None else f"{s:.0f}" for s in solved))
        rows.append([*row, " / ".join(f"{seconds[-1]:.0f}" for _, seconds in logs)])
    seconds = f"seconds to {share:.0%} of it"
    return table(["script", "final evaluation, by seed", "median, of the optimum", seconds, "seconds in all"], rows)


def ablation():
    rows = []
    for variant in ("base", "alt"):
        for target in ("joint", "factored"):
            run = f"ablation/0.5__{variant}__{target}"
            scores = [last_five(f"{run}__{value}__1") for value in ("value", "no-value")]
            rows.append([f"`--variant {variant} --td-target {target}`", *scores])
    return table(["", "`--value-net`", "`--no-value-net`"], rows)


if __name__ == "__main__":
    print(predator_prey(), ablation(), sep="\n\n")
