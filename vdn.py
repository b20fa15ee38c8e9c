"""VDN: value-decomposition networks (Sunehag et al. 2018, "Value-Decomposition Networks For Cooperative Multi-Agent
Learning Based On Team Reward").

The value of the team's actions u = (u_1, .., u_n) is the sum of the agents' own values Q_i(tau_i, u_i). tau_i is what
agent i observes; with --recurrent, all that it has observed and done so far. r is the reward of the team.

    Q_tot(tau, u) = sum_i Q_i(tau_i, u_i)                                                                   (1)
    y = r + gamma max_{u'} Q_tot(tau', u'; target) = r + gamma sum_i max_{u_i'} Q_i(tau_i', u_i'; target)   (2)
    L = (Q_tot(tau, u) - y)^2                                                                               (3)

The maximum in (2) and the best joint action need no search: a sum is largest where each of its terms is, so every agent
maximises its own. A sum cannot express an action that is good only if another agent takes a certain one: in the matrix
game VDN settles for 0 where 8 is possible. All agents share one network, which is told who they are.

    python vdn.py --env predator_prey --seed 1          a run of a few minutes; logs below runs/
"""

# /// script
# dependencies = ["numpy>=1.26,<3", "torch==2.13.0", "tyro>=1.0,<2", "wandb>=0.31,<0.32"]
# ///
import copy
import csv
import json
import os
import re
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import tyro
import wandb
from torch import Tensor, nn
from torch.nn import functional as F

import envs


@dataclass
class Args:
    env: str = "predator_prey"  # matrix_game, two_step_game, gaussian_squeeze, predator_prey, or see other_envs.py
    env_args: dict[str, int | float | bool | str] = field(default_factory=dict)  # its options, KEY VALUE KEY VALUE ..
    seed: int = 1  # of environments, exploration, replay and weights
    cuda: bool = False  # train on the GPU
    compile: bool = False  # compile loss and gradient: faster without --recurrent; needs a C++ compiler
    exp_name: str = Path(__file__).stem  # name of the experiment, part of the run folder's name
    wandb_mode: Literal["offline", "online", "disabled"] = "offline"  # or what the environment variable WANDB_MODE says
    wandb_project_name: str = "value-factorisation"  # the W&B project
    wandb_entity: str | None = None  # the W&B user or team, if not your default one

    total_timesteps: int = 1_000_000  # environment steps to train for, rounded up to full rounds of episodes
    num_envs: int = 20  # copies of the environment that play in parallel
    eval_interval: int = 20_000  # steps between greedy evaluations; each is a line of metrics.csv
    eval_episodes: int = 32  # episodes per evaluation
    start_e: float = 1.0  # epsilon at the start
    end_e: float = 0.1  # epsilon at the end
    exploration_fraction: float = 0.5  # fraction of total-timesteps over which epsilon falls linearly

    recurrent: bool = False  # agents with a GRU that read their last action, too; otherwise only the observation
    hidden_dim: int = 128  # width of the agent network
    buffer_size: int = 2_000_000  # capacity of the replay buffer in steps
    train_frequency: int = 16  # environment steps per update
    batch_size: int = 128  # windows per update
    window: int = 1  # consecutive steps per window; an episode shorter than that is padded
    learning_rate: float = 5e-4  # of Adam
    gamma: float = 0.9  # discount factor
    double_q: bool = False  # the online networks choose the best actions in the target (van Hasselt et al. 2016)
    standardise_rewards: bool = False  # learn from (reward - mean) / standard deviation; not for our own games
    max_grad_norm: float = 10.0  # maximum norm for gradient clipping
    target_network_frequency: int = 400  # updates (not steps) between copies to the target networks


# --- The algorithm --------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """B windows, each of T consecutive steps of an episode. Row t + 1 of the first three is what row t led to."""

    inputs: Tensor  # [T+1, B, n_agents, input_dim]: observation and, one-hot, agent's id; with a GRU last action, too
    state: Tensor  # [T+1, B, state_dim], which only QMIX uses
    avail_actions: Tensor  # [T+1, B, n_agents, n_actions] bool, at least one of an agent's True
    actions: Tensor  # [T, B, n_agents] int64
    reward: Tensor  # [T, B]: one reward for the team
    terminated: Tensor  # [T, B] bool: the game has ended, so do not bootstrap; a time limit does not set it
    mask: Tensor  # [T, B] bool: False for the padding after the end of an episode


class Agent(nn.Module):
    """Q_i for every agent i, with shared weights: Linear-ReLU-Linear-ReLU-Linear, or Linear-ReLU-GRU-Linear."""

    def __init__(self, env, hidden_dim, recurrent):
        super().__init__()
        self.encoder = nn.Linear(env.obs_dim + env.n_agents + recurrent * env.n_actions, hidden_dim)
        self.core = (nn.GRU if recurrent else nn.Linear)(hidden_dim, hidden_dim)
        self.head = nn.Linear(hidden_dim, env.n_actions)

    def forward(self, inputs, hidden=None):
        """inputs [T, B, n_agents, input_dim] -> q_i [T, B, n_agents, n_actions], features [.., hidden_dim]."""
        x = F.relu(self.encoder(inputs.float()))
        if isinstance(self.core, nn.GRU):  # hidden: the features of the call before, whose last row it continues
            start = None if hidden is None else hidden[-1:].flatten(1, 2)  # [1, B * n_agents, hidden_dim]
            x = self.core(x.flatten(1, 2), start)[0].view_as(x)
        else:
            x = F.relu(self.core(x))
        return self.head(x), x


def compute_loss(networks, target_networks, batch, args):
    """Equations (1) to (3) on a Batch: the loss, and metrics to log."""
    q_i, _ = networks["agent"](batch.inputs[:-1])  # [T, B, n_agents, n_actions]
    # One-hot, as torch 2.13 can get the gradient of gather wrong under --compile.
    q_taken = (q_i * F.one_hot(batch.actions, q_i.shape[-1])).sum(-1)  # [T, B, n_agents]
    q_tot = q_taken.sum(-1)  # [T, B] (1)
    with torch.no_grad():
        T = len(batch.actions)
        seen = batch.inputs if args.recurrent else batch.inputs[1:]  # a GRU has to read row 0, too; [-T:] drops it
        next_q_i = target_networks["agent"](seen)[0][-T:]  # [T, B, n_agents, n_actions]
        chooser = networks["agent"](seen)[0][-T:] if args.double_q else next_q_i
        next_greedy = chooser.masked_fill(~batch.avail_actions[1:], -torch.inf).argmax(-1)  # [T, B, n_agents]
        next_max = next_q_i.gather(-1, next_greedy[..., None]).squeeze(-1)  # [T, B, n_agents]
        bootstrap = next_max.sum(-1).masked_fill(batch.terminated, 0)  # [T, B]
        td_target = batch.reward + args.gamma * bootstrap  # [T, B] (2)
    mask = batch.mask / batch.mask.sum()  # [T, B]: sum(x * mask) is the mean of x over all steps but the padding
    loss = ((q_tot - td_target) ** 2 * mask).sum()  # (3)
    return loss, {
        "losses/td": loss,
        "values/q_taken": (q_taken.mean(-1) * mask).sum(),
        "values/q_tot": (q_tot * mask).sum(),
        "values/target": (td_target * mask).sum(),
    }


def make_networks(env, args):
    return nn.ModuleDict({"agent": Agent(env, args.hidden_dim, args.recurrent)})


# --- Playing, remembering, training (from here on all scripts are the same) -----------------------------------------


def epsilon_greedy(q_i, avail_actions, epsilon, rng):
    """Actions [E, n_agents] for q_i, avail_actions [E, n_agents, n_actions]; every agent explores independently."""
    greedy = np.where(avail_actions, q_i, -np.inf).argmax(axis=2)
    random = np.where(avail_actions, rng.random(q_i.shape), -1).argmax(axis=2)  # uniform over the available actions
    return np.where(rng.random(greedy.shape) < epsilon, random, greedy)


@torch.no_grad()
def rollout(env, agent, epsilon, rng, device):
    """Play one episode in every copy of `env`. Returns a Batch of numpy arrays; T is the length of the longest one."""
    obs, state = env.reset()
    n_remembered = env.n_actions if isinstance(agent.core, nn.GRU) else 0
    known = np.tile(np.eye(env.n_agents, env.n_agents + n_remembered, dtype=obs.dtype), (env.num_envs, 1, 1))
    ended, hidden = np.zeros(env.num_envs, bool), None
    observations, transitions = [], []  # by time step: the first three fields of Batch, and the other four
    while True:
        inputs, state = np.concatenate([obs, known], axis=2), state.copy()
        inputs[ended], state[ended] = 0, 0  # after its end a copy may return anything
        avail_actions = env.avail_actions.astype(bool) | ended[:, None, None]  # a maximum exists in padding, too
        observations.append((inputs, state, avail_actions))
        if ended.all() or len(transitions) == env.episode_limit:
            break
        q_i, hidden = agent(torch.from_numpy(inputs)[None].to(device), hidden)
        actions = epsilon_greedy(q_i[0].cpu().numpy(), env.avail_actions, epsilon, rng)
        known[..., env.n_agents :] = np.eye(env.n_actions, n_remembered)[actions]
        obs, state, reward, terminated = env.step(actions)
        terminated = ended | terminated.astype(bool)
        transitions.append((actions, np.where(ended, 0, reward).astype(np.float32), terminated, ~ended))
        ended = terminated
    return Batch(*map(np.stack, zip(*observations)), *map(np.stack, zip(*transitions)))


class ReplayBuffer:
    """The latest episodes in a ring of rows, T + 1 for T steps, without padding; inputs and state as bits if bool."""

    def __init__(self, n_rows):
        self.n_rows, self.next_row, self.rows = n_rows, 0, None  # rows: the fields of Batch, made by the first `add`
        self.episodes = np.zeros((2, 0), int)  # of each: its first row, modulo n_rows when used; its steps

    def add(self, episodes):
        """episodes: a Batch of numpy arrays as `rollout` returns it."""
        length = episodes.mask.sum(axis=0)  # [B]
        end = self.next_row + np.cumsum(length + 1)
        start, self.next_row = end - length - 1, end[-1]
        n_lost = np.searchsorted(self.episodes[0], self.next_row - self.n_rows)  # the oldest, whose rows are needed
        self.episodes = np.concatenate([self.episodes[:, n_lost:], [start, length]], axis=1)

        packed = episodes._asdict()
        self.n_bits = {name: packed[name].shape[-1] for name in ("inputs", "state") if packed[name].dtype == bool}
        packed |= {name: np.packbits(packed[name], axis=-1) for name in self.n_bits}
        new = np.zeros(episodes.state.shape[:2], [(name, x.dtype, x.shape[2:]) for name, x in packed.items()])
        for name, x in packed.items():
            new[name][: len(x)] = x  # the last row has no action: its other four fields stay 0
        self.rows = np.zeros(self.n_rows, new.dtype) if self.rows is None else self.rows
        t = np.arange(len(new))[:, None]  # [T+1, 1]
        self.rows[(start + t)[t <= length] % self.n_rows] = new[t <= length]

    def sample(self, batch_size, window, rng, device):
        """A Batch of tensors: windows of uniformly drawn episodes. T is `window`, or less if all drawn are shorter."""
        start, length = self.episodes[:, rng.integers(self.episodes.shape[1], size=batch_size)]
        window = min(window, length.max())
        t = rng.integers(np.maximum(length - window, 0) + 1) + np.arange(window + 1)[:, None]  # [T+1, B]
        rows = self.rows.take((start + np.minimum(t, length)) % self.n_rows)  # the last row pads a shorter episode
        batch = {name: rows[name].copy() for name in Batch._fields}
        batch |= {name: np.unpackbits(batch[name], axis=-1, count=n) for name, n in self.n_bits.items()}
        batch |= {name: batch[name][:window] for name in ("actions", "reward", "terminated", "mask")}  # have T rows
        return Batch(*(torch.from_numpy(x).to(device) for x in batch.values()))


def make_update(networks, target_networks, args):
    """update(batch): one step of Adam on the clipped gradient of compute_loss. Returns the metrics."""
    optimizer = torch.optim.Adam(networks.parameters(), args.learning_rate, fused=True)

    def gradient(batch):
        loss, metrics = compute_loss(networks, target_networks, batch, args)
        loss.backward()
        return {name: value.detach() for name, value in metrics.items()}

    if args.compile:
        torch._dynamo.config.trace_autograd_ops = True  # so that loss and backward() become one graph
        gradient = torch.compile(gradient, options={"triton.cudagraphs" if args.cuda else "cpp_wrapper": True})

    def update(batch):
        optimizer.zero_grad()
        metrics = gradient(batch)
        metrics["losses/grad_norm"] = nn.utils.clip_grad_norm_(networks.parameters(), args.max_grad_norm)
        optimizer.step()
        return metrics

    return update


def main(args):
    """Make the environments, train, and close them on every way out."""
    if args.cuda and not torch.cuda.is_available():
        exit_with_error("--cuda needs a GPU and a CUDA build of torch, and torch.cuda.is_available() is False")
    if args.compile and not shutil.which(compiler := os.environ.get("CXX", "g++")):
        exit_with_error(f"--compile needs a C++ compiler, and there is no {compiler}; CXX names another one")
    for number in (signal.SIGINT, signal.SIGTERM):  # so that every `finally` runs
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    env_seed, eval_seed, rng_seed = (int(x) for x in np.random.SeedSequence(args.seed).generate_state(3))
    with ExitStack() as stack:
        try:
            env = envs.make(args.env, args.num_envs, env_seed, **args.env_args)
            stack.callback(envs.close, env)
            eval_env = envs.make(args.env, args.eval_episodes, eval_seed, **args.env_args)
            stack.callback(envs.close, eval_env)
            envs.check(eval_env)
            train(args, env, eval_env, np.random.default_rng(rng_seed), np.random.default_rng(eval_seed), stack)
        except envs.InvalidEnv as error:
            exit_with_error(error)


def train(args, env, eval_env, rng, eval_rng, stack):
    """Play, remember, update, evaluate, log; then close the environments, which are on the stack."""
    replay_buffer = ReplayBuffer(max(args.buffer_size // env.episode_limit, args.num_envs) * (env.episode_limit + 1))
    device = torch.device("cuda" if args.cuda else "cpu")
    torch.set_num_threads(1)  # small matrices gain nothing from more
    torch.manual_seed(args.seed)
    networks = make_networks(env, args).to(device)
    target_networks = copy.deepcopy(networks).requires_grad_(False).to(device)  # .to() repacks a GRU's weights
    update = make_update(networks, target_networks, args)
    folder, wandb_run = open_run(args)

    duration = args.exploration_fraction * args.total_timesteps  # of the fall of epsilon, in steps
    global_step, n_updates, next_eval, row, exit_code = 0, 0, args.eval_interval, {}, 1
    returns, sums, n_summed = [], 0, 0  # since the last evaluation: of every episode, and of the updates' metrics
    start_time = print_time = time.time()
    try:
        while global_step < args.total_timesteps:
            epsilon = float(np.interp(global_step, [0, duration], [args.start_e, args.end_e]))
            episodes = rollout(env, networks["agent"], epsilon, rng, device)
            replay_buffer.add(episodes)
            returns.extend(episodes.reward.sum(axis=0))
            global_step += int(episodes.mask.sum())

            for _ in range(global_step // args.train_frequency - n_updates):
                batch = replay_buffer.sample(args.batch_size, args.window, rng, device)
                if args.standardise_rewards:
                    batch = batch._replace(reward=env.standardise(batch.reward))
                metrics = update(batch)
                sums, n_summed = sums + torch.stack([*metrics.values()]).double(), n_summed + 1
                n_updates += 1
                if n_updates % args.target_network_frequency == 0:
                    target_networks.load_state_dict(networks.state_dict())
            if n_summed and not sums.isfinite().all():
                exit_with_error(f"loss is not finite at step {global_step}; last logged: {row}", code=1)

            seconds, finished = time.time() - start_time, global_step >= args.total_timesteps
            if finished or (n_updates and global_step >= next_eval):  # the first row has to name all columns
                eval_returns = rollout(eval_env, networks["agent"], 0.0, eval_rng, device).reward.sum(axis=0)
                row |= {  # without an update since the last evaluation the losses of the row before stay
                    "global_step": global_step,
                    "charts/seconds": seconds,
                    "charts/SPS": global_step / seconds,
                    "charts/epsilon": epsilon,
                    "charts/episodic_return": float(np.mean(returns)),
                    "eval/return_mean": float(eval_returns.mean()),
                    "eval/return_std": float(eval_returns.std()),
                }
                row |= dict(zip(metrics, (sums / n_summed).tolist())) if n_summed else {}
                log(folder, wandb_run, row, networks, args)
                returns, sums, n_summed = [], 0, 0
                next_eval = (global_step // args.eval_interval + 1) * args.eval_interval
            if finished or time.time() - print_time > 5:
                print_time = time.time()
                score = f"train return {episodes.reward.sum(axis=0).mean():.2f}"
                score += f", eval return {row['eval/return_mean']:.2f}" if row else ""
                left = timedelta(seconds=round(seconds * max(args.total_timesteps / global_step - 1, 0)))
                speed = f"{global_step / seconds:,.0f} steps/s, {left} left"
                say(f"step {global_step:,} of {args.total_timesteps:,}, {score}, {speed}")
        exit_code = 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first one is enough
        look = f"python -m benchmark show {folder}" if Path("benchmark").is_dir() else f"see {folder}/metrics.csv"
        say(f"stopped at step {global_step:,}, what was logged is in {folder}" if exit_code else look)
        stack.close()
        if args.wandb_mode == "online":
            say(f"uploading; Ctrl-C leaves it for `wandb sync --include-online {folder}/wandb/run-*`")
        signal.signal(signal.SIGINT, lambda *_: os._exit(130 * exit_code))
        wandb_run.finish(exit_code=exit_code)


# --- Paperwork ------------------------------------------------------------------------------------------------------


def open_run(args):
    """Create runs/<env and its options>__<algorithm>__<seed>__<time>/ with config.json, and start W&B in it."""
    variant = f"-{args.variant}" if hasattr(args, "variant") else ""  # of QTRAN
    game = "-".join([args.env, *(f"{key}={value}" for key, value in args.env_args.items())])[:100]
    name = f"{game}__{args.exp_name[:100]}{variant}__{args.seed}__{datetime.now():%Y%m%d-%H%M%S-%f}"
    folder = Path("runs") / re.sub(r"[^\w.=-]", ".", name, flags=re.ASCII)
    config = {"algo": Path(__file__).stem + variant, **asdict(args), "command": sys.argv}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    os.environ.update({"WANDB_ERROR_REPORTING": "false", "HOME": str(Path.home())} | os.environ)  # W&B needs a HOME
    settings = dict(console="off", silent=True, init_timeout=15, finish_timeout=60, x_transaction_log_flush_interval=1)
    names = dict(project=args.wandb_project_name, entity=args.wandb_entity, name=folder.name, dir=folder.resolve())
    names |= dict(group=os.environ.get("WANDB_RUN_GROUP", game), tags=[config["algo"], args.env[:64]])
    try:
        in_wandb = config | {"env_args": envs.options_of(args.env) | args.env_args or None}  # W&B drops what is empty
        wandb_run = wandb.init(mode=args.wandb_mode, config=in_wandb, settings=wandb.Settings(**settings), **names)
    except wandb.Error as error:
        shutil.rmtree(folder)
        exit_with_error(f"W&B {args.wandb_mode}: {str(error).splitlines()[0]}")
    wandb_run.define_metric("*", step_metric="global_step")
    for path in (__file__, envs.__file__) if args.wandb_mode != "disabled" else ():  # what the run is made with
        wandb_run.save(shutil.copy(path, wandb_run.dir), base_path=wandb_run.dir, policy="now")
    where = dict(offline=f"wandb sync {folder}/wandb/*-run-*", disabled="off").get(args.wandb_mode) or wandb_run.url
    say(f"{args.exp_name} on {args.env}, logs in {folder}, W&B: {where}")
    return folder, wandb_run


def log(folder, wandb_run, row, networks, args):
    """Append a line to metrics.csv, replace model.pt, send the line to W&B. A kill never leaves half a file."""
    lines = [row.values()] if (folder / "metrics.csv").exists() else [row.keys(), row.values()]
    with open(folder / "metrics.csv", "a", newline="") as file:
        csv.writer(file).writerows(lines)
    model = {name: network.state_dict() for name, network in networks.items()}
    torch.save(model | {"args": asdict(args), "global_step": row["global_step"]}, folder / "model.pt.new")
    os.replace(folder / "model.pt.new", folder / "model.pt")
    wandb_run.log(row)


# Where defaults differ from Args: by game; OTHERS for any environment of other_envs.py, whose name has a colon.
SMALL = dict(num_envs=100, train_frequency=10, hidden_dim=64, buffer_size=500_000)
EXACT = dict(num_envs=200, train_frequency=160, learning_rate=2e-4, batch_size=512)  # values to within about 0.1
SLOW = dict(train_frequency=5, batch_size=32, exploration_fraction=0.8)  # QTRAN needs epsilon to fall slowly
SHORT = dict(eval_interval=1000, window=2, target_network_frequency=100, gamma=0.99)
DEFAULTS = {  # epsilon stays 1 in the matrix games, as in the papers
    "matrix_game": SMALL | EXACT | dict(total_timesteps=400_000, end_e=1.0),
    "two_step_game": SMALL | SHORT | dict(total_timesteps=20_000, end_e=1.0),
    "gaussian_squeeze": SMALL | SLOW | dict(total_timesteps=250_000, eval_interval=5000),
}
OTHERS = dict(num_envs=8, start_e=0.4, end_e=0.05, exploration_fraction=1.0, buffer_size=50_000, train_frequency=8)
OTHERS |= dict(target_network_frequency=800, double_q=True, standardise_rewards=True)
OTHERS |= dict(normalise_mixing=True, residual=True, td_target="factored", value_net=False)  # of qmix.py, qtran.py
# A GRU learns from whole episodes of up to 100 steps: one update on 32 of them per episode played, as in QMIX.
RECURRENT = dict(window=100, batch_size=32, train_frequency=100, target_network_frequency=400)


def parse():
    """Read the command line; --env and --recurrent choose the defaults of the rest. A mistake ends with exit code 2."""
    os.environ["COLUMNS"] = str(max(60, shutil.get_terminal_size().columns))  # tyro wraps narrower text for hours
    words = ["--wandb-mode", os.environ.get("WANDB_MODE", "offline"), *sys.argv[1:]]
    base = tyro.cli(Args, args=[word for word in words if word not in ("-h", "--help")])
    defaults = (OTHERS if ":" in base.env else {}) | DEFAULTS.get(base.env, RECURRENT if base.recurrent else {})
    default = Args(env=base.env, **{name: value for name, value in defaults.items() if hasattr(base, name)})
    args = tyro.cli(Args, args=words, default=default, description=__doc__.split("\n\n")[0])
    limits = dict.fromkeys(["start_e", "end_e", "exploration_fraction", "gamma"], (0, 1))
    limits |= dict(seed=(0, 2**32 - 1), max_grad_norm=(1e-6, 10**12))  # clipped to 0 nothing would be learned
    for name, value in vars(args).items():
        low, high = limits.get(name, (int(type(value) is int), 10**12))
        if type(value) in (int, float) and not low <= value <= high:  # a bool is neither
            exit_with_error(f"--{name.replace('_', '-')} must be in [{low}, {high}], got {value}")
    if args.standardise_rewards and ":" not in args.env:
        exit_with_error(f"--standardise-rewards needs an environment of other_envs.py, got --env {args.env}")
    return args


def say(text):
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nobody reads any more, as after `| head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_with_error(message, code=2):
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(parse())
