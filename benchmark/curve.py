"""Evaluation curves of predator-prey from the raw logs: python benchmark/curve.py

Reads benchmark/results/predator_prey{,_1.5}__<algo>__<seed>/metrics.csv and writes benchmark/results/predator_prey.png.
"""

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results"
COLOURS = {
    "iql": "gray",
    "vdn": "blue",
    "qmix": "orange",
    "qtran-base": "green",
    "qtran-alt": "red",
}
OPTIMUM = {"predator_prey": 28.89, "predator_prey_1.5": 23.77}  # benchmark/optimum.py
TITLE = {"predator_prey": "P = 0.5", "predator_prey_1.5": "P = 1.5"}


def main():
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axes, env in zip(panels, OPTIMUM):
        runs = defaultdict(list)
        for path in sorted(RESULTS.glob(f"{env}__*/metrics.csv")):
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file))
            curve = [[float(row[name]) for row in rows] for name in ("global_step", "eval/return_mean")]
            runs[path.parent.name.split("__")[1]].append(curve)
        for algo, colour in COLOURS.items():
            for i, (steps, returns) in enumerate(runs[algo]):
                label = "_" if i else f"{algo} ({len(runs[algo])})"
                axes.plot(steps, returns, color=f"tab:{colour}", alpha=0.8, linewidth=1, label=label)
        axes.axhline(OPTIMUM[env], color="black", linestyle="--", linewidth=1, label=f"optimum {OPTIMUM[env]}")
        axes.set(xlabel="environment steps", ylabel="return of 32 greedy episodes", ylim=(-13, 36))
        axes.set_title(f"predator-prey, {TITLE[env]} (number of seeds)")
        axes.legend(ncols=2, loc="lower right")
    figure.savefig(RESULTS / "predator_prey.png", dpi=120)


if __name__ == "__main__":
    main()
