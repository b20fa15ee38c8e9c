"""Look at what runs have learned, from config.json and model.pt in their folders and the scripts that made them."""

import importlib.util
import json
import shutil
import sys
from contextlib import ExitStack
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
BLUE, RED = "#4477aa", "#cc3344"
open_envs = ExitStack()  # closed when `show_runs` ends, however it ends


class CannotShow(Exception):
    """A line for the user."""


class Run(NamedTuple):
    title: str  # algorithm, environment, seed, steps
    algo: str
    script: object  # the module
    args: object  # script.Args
    networks: torch.nn.ModuleDict


def make_env(script, args, num_envs, seed):
    env = script.envs.make(args.env, num_envs, seed, **args.env_args)
    open_envs.callback(script.envs.close, env)
    return env


def latest():
    """The run folder below runs/ that was made last; CannotShow if there is none."""
    folders = [config.parent for config in Path("runs").glob("**/*__*__*__*/config.json")]
    if not folders:
        raise CannotShow("there is no run below runs/; make one: python qtran.py --env matrix_game")
    return max(folders, key=lambda folder: folder.name.split("__")[-1])


def import_script(folder, command):
    """The script that made the run: where it was when the run began, or of that name in this project."""
    started_in = folder.resolve().parent.parent  # runs/ was made there
    for path in (started_in / command, ROOT / Path(command).name):
        if path.is_file():
            sys.path[:0] = [str(path.resolve().parent), str(started_in)]  # for its envs.py, and a user's own module
            spec = importlib.util.spec_from_file_location(path.stem, path)
            script = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(script)
            return script
    raise CannotShow(f"{folder} was made by {command}, which is not there any more")


def load(folder):
    """A Run; CannotShow names what is missing in the folder, or does not fit the script as it is now."""
    for name, when in {"config.json": "a run has one", "model.pt": "a run has one after its first evaluation"}.items():
        if not (folder / name).is_file():
            raise CannotShow(f"{folder} has no {name}; {when}")
    try:
        config = json.loads((folder / "config.json").read_text())
        script = import_script(folder, config["command"][0])
        args = script.Args(**{field.name: config[field.name] for field in fields(script.Args) if field.name in config})
    except (json.JSONDecodeError, LookupError, TypeError) as error:
        raise CannotShow(f"{folder}/config.json cannot be used: {type(error).__name__}: {error}") from None
    try:
        env = make_env(script, args, 1, 0)
    except script.envs.InvalidEnv as error:
        raise CannotShow(error) from None
    networks = script.make_networks(env, args)
    try:
        model = torch.load(folder / "model.pt", map_location="cpu")
        for name, network in networks.items():
            network.load_state_dict(model[name])
    except Exception as error:  # a broken file raises all kinds
        reason = str(error).splitlines()[0]
        raise CannotShow(
            f"{folder}/model.pt does not fit {Path(script.__file__).name} and {args.env}: {reason}"
        ) from None
    options = "".join(f" {key} {value}" for key, value in args.env_args.items())
    title = f"{config['algo']} on {args.env}{options}, seed {args.seed}, after {model['global_step']:,} steps"
    return Run(title, config["algo"], script, args, networks)


@torch.no_grad()
def payoff_tables(run):
    """What was learned of a one-step game: {name: (values [rows, columns], (row, column) of the greedy choice)}.

    None where there is no such table: it takes two agents with all actions available, and episodes that begin alike.
    """
    env = make_env(run.script, run.args, 1, 0)
    n = env.n_actions
    if (env.n_agents, env.episode_limit) != (2, 1) or n > 12:
        return None
    env = make_env(run.script, run.args, n * n, 0)
    choices = torch.eye(n)[torch.cartesian_prod(torch.arange(n), torch.arange(n))]  # [n * n, 2, n] one-hot

    def choose(inputs, hidden):
        return choices[None], None

    choose.core = run.networks["agent"].core  # by which the rollout knows what the agents read
    episodes = run.script.rollout(env, choose, 0.0, np.random.default_rng(0), CPU)
    batch = run.script.Batch(*map(torch.from_numpy, episodes))
    if not all((x[0] == x[0, 0]).all() for x in (batch.inputs, batch.state)) or not batch.avail_actions[0].all():
        return None
    q_1, q_2 = run.networks["agent"](batch.inputs[:1])[0][0, 0]  # [n] each
    row, column = int(q_1.argmax()), int(q_2.argmax())
    losses = [
        run.script.compute_loss(
            run.networks, run.networks, run.script.Batch(*(x[:, k : k + 1] for x in batch)), run.args
        )
        for k in range(n * n)
    ]
    learned = {name: torch.stack([metrics[name] for _, metrics in losses]).view(n, n) for name in losses[0][1]}
    tables = {"payoff": batch.reward[0].view(n, n), "Q_1": q_1[None], "Q_2": q_2[None]}
    q_prime = q_1[:, None] + q_2
    if "values/q_tot" in learned:
        tables["Q_tot"] = learned["values/q_tot"]
    else:
        tables["Q'"] = q_prime
    if "values/q_jt" in learned:
        q_jt, v_jt = learned["values/q_jt"], learned["values/v_jt"]
        tables |= {"Q_jt": q_jt, "V_jt": v_jt[:1, :1], "D": q_prime - q_jt + v_jt}
    stars = {"Q_1": (0, row), "Q_2": (0, column), "V_jt": None}
    return {name: (values.numpy(), stars.get(name, (row, column))) for name, values in tables.items()}


def print_tables(tables):
    print("rows: actions of agent 1, columns: of agent 2, *: greedy")
    for name, (values, star) in tables.items():
        for i, row in enumerate(values.round(2) + 0.0):  # no -0.00
            cells = [f"{value:8.2f}{'*' if (i, j) == star else ' '}" for j, value in enumerate(row)]
            print(f"{name if i == 0 else '':8}{''.join(cells)}".rstrip())


class Recorder:
    """An environment that remembers how its first copy looked: a text at every time step, if it has render()."""

    def __init__(self, env):
        self.env, self.frames = env, []

    def __getattr__(self, name):
        return getattr(self.env, name)

    def _record(self):
        if hasattr(self.env, "render"):
            self.frames.append(str(self.env.render()))

    def reset(self):
        result = self.env.reset()
        self._record()
        return result

    def step(self, actions):
        result = self.env.step(actions)
        self._record()
        return result


def play(run, n_episodes, seed):
    """Greedy episodes: a Batch of numpy arrays, and the texts of the first one, T + 1 or none."""
    env = Recorder(make_env(run.script, run.args, n_episodes, seed))
    episodes = run.script.rollout(env, run.networks["agent"], 0.0, np.random.default_rng(seed), CPU)
    length = int(episodes.mask[:, 0].sum())
    return episodes, env.frames[: length + 1]


def typical_episode(run, mean, n_episodes, seed):
    """Texts and rewards of the one of n greedy episodes whose return is nearest `mean`.

    Each is played by itself: render() shows the first copy only.
    """
    played = [play(run, 1, seed + k) for k in range(n_episodes)]
    episode, frames = min(played, key=lambda one: abs(one[0].reward.sum() - mean))
    return frames, episode.reward[:, 0]


def print_frames(frames, rewards):
    """The texts of an episode side by side, as many as fit the terminal, each below its step and reward."""
    titles = ["start", *(f"{t}: {reward:+g}" for t, reward in enumerate(rewards, 1))]
    blocks = [[title, *frame.splitlines()] for title, frame in zip(titles, frames)]
    width = 3 + max(len(line) for block in blocks for line in block)
    per_row = max(1, shutil.get_terminal_size((100, 24)).columns // width)
    for k in range(0, len(blocks), per_row):
        row = blocks[k : k + per_row]
        for i in range(max(map(len, row))):
            print("".join(f"{block[i] if i < len(block) else '':{width}}" for block in row).rstrip())
        print()


@torch.no_grad()
def agreement(run, episodes):
    """QTRAN: share of the states in which the best joint action by Q_jt is the agents' own; None if there are too many.

    Where there would be too much to compute, of a part of the states, evenly spaced.
    """
    batch = run.script.Batch(*map(torch.from_numpy, episodes))
    joint, n_agents, n_actions = run.networks["joint"], *batch.avail_actions.shape[2:]
    if n_actions**n_agents > 4096:
        return None
    q_i, features = run.networks["agent"](batch.inputs[:-1])
    states = [x[batch.mask] for x in (q_i, features, batch.avail_actions[:-1])]
    joint_actions = torch.tensor(list(product(range(n_actions), repeat=n_agents)))  # [J, n_agents]
    every = max(1, len(states[0]) * len(joint_actions) // 100_000)
    q_i, features, available = (x[::every] for x in states)  # [S, n_agents, ..]
    actions = joint_actions[:, None].expand(-1, len(q_i), -1)  # [J, S, n_agents]
    q_jt = joint(features.expand(len(actions), -1, -1, -1), actions)  # [J, S]
    if run.args.residual:  # V_jt, the same for every joint action, makes no difference here
        q_jt += q_i.expand(len(actions), -1, -1, -1).gather(-1, actions[..., None]).sum((-2, -1))
    possible = available.expand(len(actions), -1, -1, -1).gather(-1, actions[..., None]).squeeze(-1).all(-1)  # [J, S]
    best = joint_actions[q_jt.masked_fill(~possible, -torch.inf).argmax(0)]  # [S, n_agents]
    greedy = q_i.masked_fill(~available, -torch.inf).argmax(-1)
    return (best == greedy).all(-1).float().mean().item()


def draw_tables(runs):
    """The tables of `runs` (title, tables) as heat maps in one row, a Figure: pay-off, then what each has learned."""
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    payoff = runs[0][1]["payoff"][0]
    panels, span = [("pay-off", (payoff, None))], max(1.0, np.abs(payoff).max())
    for algo, tables in runs:
        panels += [(f"{algo}\n{name}", tables[name]) for name in ("Q_tot", "Q'", "Q_jt", "D") if name in tables]
    fig = Figure(figsize=(1.6 * len(panels), 2.4), layout="constrained")
    for axes, (title, (values, star)) in zip(fig.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels):
        norm = TwoSlopeNorm(0, -1.6 * span, 1.6 * span)  # pale enough to read numbers on
        axes.imshow(values.clip(-span, span), cmap="RdBu", norm=norm)
        for i, j in np.ndindex(values.shape):
            weight = "bold" if (i, j) == star else "normal"
            axes.text(j, i, f"{values[i, j].round(1) + 0.0:.1f}", ha="center", va="center", weight=weight)
        if star:
            i, j = star
            axes.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, linewidth=1.5))
        axes.set(title=title, xticks=range(values.shape[1]), yticks=range(values.shape[0]))
        axes.tick_params(length=0)
    fig.supylabel("action of agent 1", fontsize="medium")
    fig.supxlabel("action of agent 2      (framed and bold: the agents' greedy choice)", fontsize="medium")
    return fig


def draw_frame(draw, text, x, y, cell, font):
    """One text at (x, y); a grid of single characters as tiles: digits blue, letters red, all else empty."""
    lines = [line.split() for line in text.splitlines()]
    if not lines or any(len(token) != 1 for line in lines for token in line):
        draw.multiline_text((x, y), text, fill="black", font=font)
        return
    for i, line in enumerate(lines):
        for j, token in enumerate(line):
            left, top = x + j * cell, y + i * cell
            draw.rectangle((left, top, left + cell, top + cell), outline="#cccccc")
            if token.isalnum():
                colour = BLUE if token.isdigit() else RED
                draw.ellipse((left + 4, top + 4, left + cell - 4, top + cell - 4), fill=colour)
                draw.text((left + cell / 2, top + cell / 2), token, fill="white", font=font, anchor="mm")


def draw_episodes(runs, path, cell=36):
    """Episodes (run, texts, rewards) side by side as an animated GIF; who has ended first stays as he is."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf", 14)
    lines = [line for _, frames, _ in runs for frame in frames for line in frame.splitlines()]
    rows = max(len(frame.splitlines()) for _, frames, _ in runs for frame in frames)
    panel = max(cell * (max(map(len, lines)) + 1) // 2, 190) + 20
    legend = [("numbers: predators", BLUE), ("letters: prey", RED)] if runs[0][0].args.env == "predator_prey" else []
    images = []
    for t in range(max(len(frames) for _, frames, _ in runs)):
        image = Image.new("RGB", (panel * len(runs) + 10, rows * cell + 80 + 20 * len(legend)), "white")
        draw = ImageDraw.Draw(image)
        for k, (run, frames, rewards) in enumerate(runs):
            now, x = min(t, len(frames) - 1), 15 + k * panel
            draw.text((x, 10), run.algo, fill="black", font=font)
            draw_frame(draw, frames[now], x, 35, cell, font)
            status = f"step {now:3}  return {rewards[:now].sum():5.1f}"
            draw.text((x, 45 + rows * cell), status, fill="black", font=font)
        for i, (text, colour) in enumerate(legend):
            draw.text((15, 70 + rows * cell + 20 * i), text, fill=colour, font=font)
        palette = images[0] if images else None  # one for all: half the bytes
        images.append(image.quantize(16, Image.Quantize.FASTOCTREE, palette=palette, dither=Image.Dither.NONE))
    images[0].save(path, save_all=True, append_images=images[1:], duration=[*[160] * (len(images) - 1), 1500], loop=0)


def show_runs(folders, n_episodes, seed, figure, gif):
    """`python -m benchmark show`; CannotShow names what is missing or does not fit."""
    if n_episodes < 1:
        raise CannotShow(f"--episodes must be at least 1, got {n_episodes}")
    if seed < 0:
        raise CannotShow(f"--seed must be at least 0, got {seed}")
    for name, path, suffixes in (("figure", figure, (".png", ".pdf", ".svg")), ("gif", gif, (".gif",))):
        if path and (path.suffix not in suffixes or not path.resolve().parent.is_dir()):
            raise CannotShow(f"--{name} must be a file {' or '.join(suffixes)} in a folder that exists, got {path}")
    with open_envs:
        _show_runs(folders or [latest()], n_episodes, seed, figure, gif)


def _show_runs(folders, n_episodes, seed, figure, gif):
    table_runs, episode_runs = [], []
    for folder in folders:
        run = load(folder)
        print(f"{run.title}\n")
        tables = payoff_tables(run)
        episodes, frames = play(run, n_episodes, seed)
        returns = episodes.reward.sum(axis=0)
        if tables:
            print_tables(tables)
            table_runs.append((run.algo, tables))
        elif frames:
            frames, rewards = typical_episode(run, returns.mean(), n_episodes, seed)
            print(f"an episode whose return is near the mean: {rewards.sum():g}\n")
            print_frames(frames, rewards)
            episode_runs.append((run, frames, rewards))
        else:
            print(f"{run.args.env} has no render(), so no episode is shown")
        error = f" +- {returns.std(ddof=1) / len(returns) ** 0.5:.2f} (standard error)" if len(returns) > 1 else ""
        print(f"mean return of {n_episodes} greedy episodes: {returns.mean():.2f}{error}")
        if "joint" in run.networks:
            share = agreement(run, episodes)
            found = f"in {share:.1%} of states" if share is not None else "not computed, there are too many of them"
            print(f"best joint action by Q_jt is the agents' own: {found}")
        print()
    if figure:
        if not table_runs or len({tables["payoff"][0].shape for _, tables in table_runs}) > 1:
            raise CannotShow("--figure needs runs of one one-step game of two agents")
        draw_tables(table_runs).savefig(figure, dpi=110)
    if gif:
        if not episode_runs:
            raise CannotShow("--gif needs runs of an environment with render() and more than one step")
        draw_episodes(episode_runs, gif)
