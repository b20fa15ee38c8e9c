"""Tables and figures of a suite from what is kept of its runs in benchmark/results/<suite>/."""

import os
from collections import defaultdict
from itertools import product

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from benchmark import runner, suites

# The same in all figures; in greyscale, lines differ in lightness and dashes.
STYLES = {
    "iql": ("#999999", ":"),
    "vdn": ("#4477aa", "--"),
    "qmix": ("#ccaa22", "-."),
    "qtran-base": ("#228833", (0, (4, 1.5, 1, 1.5, 1, 1.5))),
    "qtran-alt": ("#aa2244", "-"),
    "qmix-normalised": ("#887700", "-."),
    "qtran-base-residual": ("#004411", (0, (4, 1.5, 1, 1.5, 1, 1.5))),
    "qtran-alt-residual": ("#550022", "-"),
}


def iqm(values):
    """Interquartile mean over the last axis: without the lowest and the highest quarter (rounded down) of it."""
    cut = values.shape[-1] // 4
    return np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)


def interval(values, resamples=5000):
    """95 % percentile bootstrap interval of the IQM over the last axis, the seeds: (low, high).

    With five seeds at most, over all draws that there are; else over `resamples` random ones.
    """
    n = values.shape[-1]
    if n <= 5:
        resampled = np.array([*product(range(n), repeat=n)])  # [n^n, n]
    else:
        resampled = np.random.default_rng(0).integers(n, size=(resamples, n))
    return np.percentile(iqm(values[..., resampled]), [2.5, 97.5], axis=-1, method="inverted_cdf")


def last_ten(curves, column="eval/return_mean"):
    """Each seed's mean over its last ten evaluations [seeds]: one evaluation alone is of 32 episodes."""
    return np.array([curve[column][-10:].mean() for curve in curves.values()])


def read(suite):
    """{game: {algorithm: {seed: run}}} of what is finished, and {run: what is wrong} of what is kept but is not.

    A run is its columns of curves.csv, name -> [evaluations], its commit and versions, the updates of the whole run,
    n_updates, and peak_mib, NaN if not noted.
    """
    records, _ = runner.kept(suite)
    seeds = [int(seed) for name in records if (seed := name.split("__")[-1]).isdigit()]
    games, broken = defaultdict(lambda: defaultdict(dict)), dict.fromkeys(sorted(records), "not in the suite")
    for job in suites.jobs(suite, seeds=max(seeds, default=1)):
        if job.name not in records:
            continue
        if why := runner.problem_kept(job):
            broken[job.name] = why
            continue
        del broken[job.name]
        record = records[job.name]
        run = {name: np.array(values) for name, values in runner.curve(suite, job.name).items()}
        run["n_updates"] = run["global_step"][-1] // record["arguments"]["train_frequency"]
        run |= {"commit": record["commit"], "versions": record["versions"], "peak_mib": record.get("peak_mib", np.nan)}
        games[job.game][job.algo][job.seed] = run
    return games, broken


def table(game, algos):
    """Markdown: a line for each algorithm. algos: {algorithm: {seed: run}}."""
    known, published = game.optimum is not None, game.paper.startswith("Papoudakis")
    header = ["algorithm", "last ten, IQM", "95 % interval", "by seed"]
    header += [f"of {game.optimum}", f"seconds to {game.solved:.0%} of it"] if known else []
    # What they publish is the best mean over seeds, in foraging, as far as we know, of agents that explore.
    header += ["best evaluation", "exploring, last ten"] if published else []
    header += ["last evaluation, IQM", "steps", "updates", "seconds in all", "steps/s", "peak MiB"]
    rows = [header, ["---"] * len(header)]
    for algo, curves in algos.items():
        returns, last = last_ten(curves), np.array([curve["eval/return_mean"][-1] for curve in curves.values()])
        row = [f"`{algo}`", f"{iqm(returns):.2f}"]
        row.append("{:.2f} to {:.2f}".format(*interval(returns)) if len(returns) > 1 else "one seed")
        row.append(" / ".join(f"{value:.2f}" for value in returns) if len(returns) < 10 else f"{len(returns)} seeds")
        if known:
            enough = game.solved * game.optimum
            solved = [
                f"{curve['charts/seconds'][curve['eval/return_mean'] >= enough][0]:.0f}" if value >= enough else "-"
                for curve, value in zip(curves.values(), returns)
            ]
            row.append(f"{iqm(returns) / game.optimum:.0%}")
            row.append(" / ".join(solved))
        if published:
            evaluations = min(len(curve["eval/return_mean"]) for curve in curves.values())
            means = np.mean([curve["eval/return_mean"][:evaluations] for curve in curves.values()], axis=0)
            row.append(f"{means.max():.2f}")
            row.append(f"{iqm(last_ten(curves, 'charts/episodic_return')):.2f}")
        row.append(f"{iqm(last):.2f}")
        row.append(f"{np.median([curve['global_step'][-1] for curve in curves.values()]):,.0f}")
        row.append(f"{np.median([curve['n_updates'] for curve in curves.values()]):,.0f}")
        row.append(f"{np.median([curve['charts/seconds'][-1] for curve in curves.values()]):.0f}")
        speed = [curve["global_step"][-1] / curve["charts/seconds"][-1] for curve in curves.values()]
        row.append(f"{np.median(speed):,.0f}")
        peaks = [curve["peak_mib"] for curve in curves.values() if curve["peak_mib"] > 0]
        row.append(f"{max(peaks):,.0f}" if peaks else "")
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(game, algos):
    """IQM of the evaluations over steps, the interval as a band, the optimum and random play as lines: a Figure."""
    fig = Figure(figsize=(7, 4.4), dpi=100, layout="constrained")
    axes = fig.subplots()
    more_styles = zip(matplotlib.colormaps["tab10"].colors * 2, ["-", "--", "-.", ":"] * 5)
    last = max(curve["global_step"][-1] for curves in algos.values() for curve in curves.values())
    unit, name = (1e6, "millions") if last >= 1e6 else (1e3, "thousands")
    for k, (algo, curves) in enumerate(algos.items()):
        steps = min((curve["global_step"] for curve in curves.values()), key=len)
        returns = [np.interp(steps, curve["global_step"], curve["eval/return_mean"]) for curve in curves.values()]
        returns = np.stack(returns, axis=-1)  # [evaluations, seeds]
        colour, dashes = STYLES.get(algo) or next(more_styles)
        label = f"{algo} ({len(curves)} seed{'s' * (len(curves) > 1)})"
        # Where curves coincide, the earlier is the thinner and on top: the later shows at its sides and in its gaps.
        width = {"linewidth": 1.5 + 0.5 * min(k, 4), "zorder": 2 - k / 100}
        axes.plot(steps / unit, iqm(returns), color=colour, linestyle=dashes, label=label, **width)
        if len(curves) > 1:
            axes.fill_between(steps / unit, *interval(returns), color=colour, alpha=0.15, linewidth=0)
    line = {"color": "black", "linewidth": 0.8, "zorder": 3}  # above the curves
    if game.optimum is not None:
        axes.axhline(game.optimum, **line, label=f"optimum {game.optimum}")
    if game.found is not None:
        axes.axhline(game.found, **line, linestyle="--", label=f"two pairs {game.found}")
    low, high = axes.get_ylim()
    if low < game.random < high:
        axes.axhline(game.random, **line, linestyle="-.", label=f"random play {game.random}")
    else:  # too far away: the curves would be pressed together
        axes.plot([], [], linestyle="", label=f"random play {game.random}, not shown")
    axes.set(title=game.title, ylabel="return of 32 greedy episodes")
    axes.set(xlabel=f"environment steps, {name}", xlim=(0, last / unit))
    axes.locator_params(axis="x", nbins=6)
    key = "line: interquartile mean over seeds; band: its 95 % interval"
    if all(len(curves) == 1 for curves in algos.values()):
        key = "line: the one seed"
    ncols, small = 3 if max(map(len, algos)) < 16 else 2, {"fontsize": "small", "title_fontsize": "small"}
    fig.legend(loc="outside lower center", ncols=ncols, title=key, handlelength=3.5, **small)
    return fig


def save(fig, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(fig).draw()
    image = Image.fromarray(np.asarray(fig.canvas.buffer_rgba())).convert("RGB")
    image.quantize(128).save(path, optimize=True)  # a quarter of the bytes


def short_commit(commit):
    """The first 12 digits of a commit, with its "-dirty" if it has one."""
    digits, dash, dirty = commit.partition("-")
    return digits[:12] + dash + dirty


def made_with(runs):
    """Which commit and versions the runs are of."""
    commits = sorted({short_commit(run["commit"]) for run in runs})
    versions = sorted({", ".join(f"{k} {v}" for k, v in run["versions"].items()) for run in runs})
    return f"Commit {', '.join(commits)}; {'; '.join(versions)}."


def summary(games):
    """Markdown: a line for each game, a column for each algorithm: IQM of the last ten and number of seeds."""
    algos = list(dict.fromkeys(algo for curves in games.values() for algo in curves))
    rows = [["game", *(f"`{algo}`" for algo in algos), "optimum", "random play"], ["---"] * (len(algos) + 3)]
    for name, curves in games.items():
        game, row = suites.GAMES[name], []
        for algo in algos:
            returns = last_ten(curves.get(algo, {}))
            row.append(f"{iqm(returns):.1f} ({len(returns)})" if len(returns) else "")
        rows.append([game.title, *row, f"{game.optimum or '?'}", f"{game.random}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def put(text, readme):
    """Replace what stands between the markers in a Markdown file."""
    begin, end = "<!-- report: begin -->", "<!-- report: end -->"
    old = readme.read_text()
    new = readme.with_name(f"{readme.name}.new")
    new.write_text(f"{old.split(begin)[0]}{begin}\n\n{text}\n\n{end}{old.split(end)[1]}")
    os.replace(new, readme)


def write(suite):
    """Write tables and figures: those of the suite "paper" into the README.md of the project and of benchmark/, at the
    markers, and benchmark/figures/; those of others to benchmark/results/<suite>/.

    Returns {run: what is wrong} of results that are incomplete: they are in no table.
    """
    games, broken = read(suite)
    if suite == "beyond":
        papers, _ = read("paper")
        for name, algos in games.items():
            games[name] = {algo: runs for algo, runs in papers[name].items() if algo.startswith("q")} | algos
    folder = runner.ROOT / "benchmark" if suite == "paper" else runner.RESULTS / suite
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "README.md").exists():
        (folder / "README.md").write_text(f"# Suite {suite}\n\n<!-- report: begin --><!-- report: end -->\n")
    parts, arguments = [], suites.arguments(suite)
    for name, algos in games.items():
        game = suites.GAMES[name]
        save(figure(game, algos), folder / "figures" / f"{name}.png")
        found = "" if game.found is None else f" Two pairs that each hunt one prey by plan: {game.found}."
        used = made_with([run for runs in algos.values() for run in runs.values()])
        parts.append(
            f"### {game.title}\n\n`{arguments[name]}`. Random play: {game.random}.{found} {game.paper}\n\n"
            f"{table(game, algos)}\n\n![{game.title}](figures/{name}.png)\n\n{used}"
        )
    if suite == "beyond":
        parts.insert(0, summary(games))
    put("\n\n".join(parts), folder / "README.md")
    if suite == "paper":
        put(summary(games), runner.ROOT / "README.md")
    return broken
