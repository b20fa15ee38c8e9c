"""What the pictures promise and can be checked without looking: every curve of every suite, table_1 and hunt.gif."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from benchmark import report, show, suites

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ROOT / "benchmark/results/shown"
UNITS = {"environment steps, thousands": 1e3, "environment steps, millions": 1e6}


def figures(suite):
    """Yields game, {algorithm: {seed: run}} and the drawn figure."""
    for name, algos in report.read(suite)[0].items():
        fig = report.figure(suites.GAMES[name], algos)
        FigureCanvasAgg(fig).draw()
        yield suites.GAMES[name], algos, fig


@pytest.mark.parametrize("suite", ["paper", "ablation", "authors", "environments", "beyond", "smax"])
def test_curves(suite):
    for game, algos, fig in figures(suite):
        (axes,), (legend,) = fig.axes, fig.legends
        low, high = axes.get_ylim()
        lines = {line.get_label(): line for line in axes.lines}
        curves = {line.get_label().split(" (")[0]: line for line in axes.lines[: len(algos)]}
        for algo, line in curves.items():
            first = min((run["global_step"] for run in algos[algo].values()), key=len)
            assert np.allclose(line.get_xdata() * UNITS[axes.get_xlabel()], first)
            assert low < line.get_ydata().min() and line.get_ydata().max() < high
            assert axes.get_xlim()[0] == 0 and line.get_xdata().max() <= axes.get_xlim()[1]
        for band in axes.collections:
            values = band.get_paths()[0].vertices[:, 1]
            assert low < values.min() and values.max() < high

        for value, name in ((game.optimum, "optimum"), (game.found, "two pairs")):
            if value is not None:
                line = lines[f"{name} {value}"]
                assert low < value < high and set(line.get_ydata()) == {value}
                assert line.zorder > max(curve.zorder for curve in curves.values())
        with_random = f"random play {game.random}" in lines
        assert with_random == (low < game.random < high)

        # Two curves that coincide: the one below is wider.
        for upper, lower in combinations(sorted(curves.values(), key=lambda line: -line.zorder)[:5], 2):
            assert upper.zorder > lower.zorder and upper.get_linewidth() < lower.get_linewidth()

        texts = [text.get_text() for text in legend.texts]
        for algo, runs in algos.items():
            assert texts.count(f"{algo} ({len(runs)} seed{'s' * (len(runs) > 1)})") == 1
        assert f"random play {game.random}{'' if with_random else ', not shown'}" in texts
        assert len(texts) == len(algos) + 1 + (game.optimum is not None) + (game.found is not None)
        key = legend.get_title().get_text()
        if axes.collections:
            assert key == "line: interquartile mean over seeds; band: its 95 % interval"
        else:
            assert key == "line: the one seed" and all(len(runs) == 1 for runs in algos.values())

        boxes = []
        for axis in (axes.xaxis, axes.yaxis):
            start, end = axis.get_view_interval()
            shown = [label for at, label in zip(axis.get_ticklocs(), axis.get_ticklabels()) if start <= at <= end]
            assert 3 <= len(shown) <= 10 and all(len(label.get_text()) <= 4 for label in shown)
            boxes += [label.get_window_extent() for label in shown]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        everything = [legend.get_window_extent(), axes.get_tightbbox()]
        assert not everything[0].overlaps(everything[1])
        assert all(0 <= box.x0 and 0 <= box.y0 and box.x1 <= 700 and box.y1 <= 440 for box in everything)


def test_committed_figures_are_as_wide_as_a_readme_and_of_few_bytes():
    for path in [*ROOT.glob("benchmark/figures/*.png"), *ROOT.glob("benchmark/results/*/figures/*.png")]:
        assert Image.open(path).size == (700, 440) and path.stat().st_size < 60_000, path


def test_table_1_names_its_axes_and_what_is_framed():
    runs = [show.load(SHOWN / f"matrix_game__{algo}__1") for algo in ("vdn", "qtran-alt")]
    fig = show.draw_tables([(run.algo, show.payoff_tables(run)) for run in runs])
    FigureCanvasAgg(fig).draw()
    assert fig.get_supylabel() == "action of agent 1"
    assert fig.get_supxlabel().split("  ")[0] == "action of agent 2" and "framed and bold: " in fig.get_supxlabel()
    assert [axes.get_title() for axes in fig.axes] == [
        "pay-off",
        *("vdn\nQ_tot", "qtran-alt\nQ'", "qtran-alt\nQ_jt", "qtran-alt\nD"),
    ]
    for axes in fig.axes[1:]:
        (frame,) = axes.patches
        j, i = np.round(np.add(frame.get_xy(), 0.47)).astype(int)
        assert [text.get_position() for text in axes.texts if text.get_weight() == "bold"] == [(j, i)]


def test_the_episode_shown_is_the_one_whose_return_is_nearest_the_mean(capsys):
    folders = [SHOWN / f"predator_prey_2v1_1.5__{algo}__1" for algo in ("vdn", "qtran-alt")]
    for folder in folders:
        run = show.load(folder)
        mean = show.play(run, 8, 5)[0].reward.sum(axis=0).mean()
        frames, rewards = show.typical_episode(run, mean, 8, 5)
        alone = [show.play(run, 1, 5 + k) for k in range(8)]
        returns = np.array([episode.reward.sum() for episode, _ in alone])
        nearest = np.abs(returns - mean).argmin()
        assert returns.std() > 0 and abs(rewards.sum() - mean) == np.abs(returns - mean).min()
        assert frames == alone[nearest][1] and len(frames) == len(rewards) + 1 == 101


def test_gif_shows_the_printed_episodes_and_says_who_is_who(tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(show, "draw_episodes", lambda runs, path: drawn.extend(runs))
    folders = [SHOWN / f"predator_prey_2v1_1.5__{algo}__1" for algo in ("vdn", "qtran-alt")]
    show.show_runs(folders, 4, 0, None, tmp_path / "hunt.gif")
    out = capsys.readouterr().out.split("mean return of ")
    assert [run.algo for run, _, _ in drawn] == ["vdn", "qtran-alt"]
    for (_, _, rewards), text in zip(drawn, out):
        assert f"near the mean: {rewards.sum():g}\n" in text
        assert all(f"{t}: {reward:+g} " in text for t, reward in enumerate(rewards[:5], 1))

    monkeypatch.undo()
    show.draw_episodes(drawn, tmp_path / "hunt.gif")
    gif = Image.open(tmp_path / "hunt.gif")
    for t in range(gif.n_frames):
        gif.seek(t)
        frame = gif.convert("RGB")
        assert min(frame.getpixel((1, 1))) > 250
        numbers, letters = (np.array(frame.crop((10, y, 300, y + 18)), int) for y in (250, 270))
        assert (numbers[..., 2] - numbers[..., 0]).max() > 80 and (letters[..., 0] - letters[..., 2]).max() > 80
