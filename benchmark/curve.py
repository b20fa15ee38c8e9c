"""Evaluation curves of predator-prey from the raw logs: python benchmark/curve.py

Reads benchmark/results/predator_prey__<algo>__<seed>/metrics.csv and writes benchmark/results/predator_prey.png.
"""

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results"
COLOURS = {"iql": "tab:gray", "vdn": "tab:blue", "qmix": "tab:orange", "vdn-recurrent": "tab:cyan"}
OPTIMUM, RANDOM_PLAY = 28.89, -11.4  # at P = 0.5: benchmark/optimum.py, tests/test_envs.py


def main():
    runs = defaultdict(list)
    for path in sorted(RESULTS.glob("predator_prey__*/metrics.csv")):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        curve = [[float(row[name]) for row in rows] for name in ("global_step", "eval/return_mean")]
        runs[path.parent.name.split("__")[1]].append(curve)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for algo, colour in COLOURS.items():
        for i, (steps, returns) in enumerate(runs[algo]):
            label = "_" if i else f"{algo} ({len(runs[algo])})"
            axes.plot(steps, returns, color=colour, alpha=0.8, label=label)
    axes.axhline(OPTIMUM, color="black", linestyle="--", linewidth=1, label=f"optimum {OPTIMUM}")
    axes.axhline(RANDOM_PLAY, color="black", linestyle=":", linewidth=1, label=f"random play {RANDOM_PLAY}")
    axes.set(
        xlabel="environment steps",
        ylabel="return of 32 greedy episodes",
        title="predator-prey, P = 0.5 (number of seeds)",
    )
    axes.set_ylim(-13, 36)
    axes.legend(ncols=2, loc="upper left")
    figure.savefig(RESULTS / "predator_prey.png", dpi=120)


if __name__ == "__main__":
    main()
