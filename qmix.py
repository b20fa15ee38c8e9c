"""QMIX (Rashid et al. 2018, "QMIX: Monotonic Value Function Factorisation for Deep Multi-Agent Reinforcement
Learning").

The team's value is made from the agents' own values Q_i(tau_i, u_i), where u_i is agent i's action and tau_i what it
observes, with --recurrent all that it has observed so far. How they are mixed depends on the global state s: small
networks of s (hypernetworks) give the weights W1, w2 and the biases b1, b2 of the mixing network:

    Q_tot(tau, u, s) = w2(s) . ELU(W1(s) [Q_1, .., Q_n] + b1(s)) + b2(s),   W1, w2 >= 0                     (1)
    y = r + gamma max_{u'} Q_tot(tau', u', s'; target), attained where each agent's own Q_i is largest      (2)
    L = (Q_tot(tau, u, s) - y)^2                                                                            (3)

W1, w2 >= 0, as absolute values are taken, and ELU increases, so dQ_tot/dQ_i >= 0 and the best joint action is, as in
VDN, each agent's own best. What a monotonic function cannot express is an agent whose ranking of its actions depends on
what another does: in the matrix game of envs.py QMIX settles for 0 where 8 is possible. All agents share one network.

    python qmix.py --env predator_prey --seed 1         a run of a few minutes; logs below runs/
    python qmix.py --env predator_prey --recurrent      agents with a GRU
    python qmix.py --env predator_prey --help           all arguments, with their defaults for this environment
"""

# [shared: imports, arguments]
# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy>=1.26,<3", "torch==2.13.0", "tyro>=1.0,<2", "wandb>=0.31,<0.32"]
# ///
import argparse
import copy
import csv
import io
import json
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports below ends without a traceback
import numpy as np
import torch
import tyro
import wandb
from torch import Tensor, nn
from torch.nn import functional as F

import envs


@dataclass
class Args:
    env: str = "predator_prey"
    """matrix_game, two_step_game, gaussian_squeeze, predator_prey, pettingzoo:MODULE, gymnasium:MODULE:ID, or
    module:Class for an environment of your own"""
    env_args: dict[str, int | float | bool | str] = field(default_factory=dict)
    """options of the environment as pairs KEY VALUE, e.g. penalty 1.5 view 2; docs/environments.md lists them"""
    seed: int = 1
    """seed of environments, exploration, replay and weights"""
    cuda: bool = False
    """train on the GPU"""
    compile: bool = False
    """compile the update into one graph: 1.3 to 3.3 times as fast on a CPU, 4.6 to 9 on a GPU, but slower with
    --recurrent. Takes a C++ compiler, and up to 30 s when the graph is new"""
    exp_name: str = Path(__file__).stem
    """name of the experiment"""
    wandb_mode: Literal["offline", "online", "disabled"] = "offline"
    """offline: W&B files in the run folder, to upload later; online: upload now; disabled: none. Without this argument
    the environment variable WANDB_MODE decides, if it is set"""
    wandb_project_name: str = "value-factorisation"
    """the W&B project"""
    wandb_entity: str | None = None
    """the W&B user or team, if not your default one"""

    total_timesteps: int = 1_000_000
    """environment steps to train for, rounded up to full rounds of episodes"""
    num_envs: int = 20
    """copies of the environment that play in parallel"""
    eval_interval: int = 20_000
    """steps between greedy evaluations; each is a line of metrics.csv"""
    eval_episodes: int = 32
    """episodes per evaluation"""
    start_e: float = 1.0
    """epsilon at the start"""
    end_e: float = 0.1
    """epsilon at the end"""
    exploration_fraction: float = 0.5
    """fraction of total-timesteps over which epsilon falls linearly from start to end"""

    recurrent: bool = False
    """agents with a GRU; otherwise they know only their current observation"""
    hidden_dim: int = 128
    """width of the agent network"""
    buffer_size: int = 2_000_000
    """capacity of the replay buffer in steps"""
    train_frequency: int = 16
    """environment steps per update"""
    batch_size: int = 128
    """windows per update"""
    window: int = 1
    """consecutive steps per window; an episode shorter than that is padded"""
    learning_rate: float = 5e-4
    """learning rate of Adam"""
    gamma: float = 0.9
    """discount factor"""
    double_q: bool = False
    """the online networks choose the best actions in the target (van Hasselt et al. 2016), not the target networks"""
    limit_ends: bool = False
    """the time limit ends the game: nothing is bootstrapped from the last observation"""
    scale_rewards: bool = False
    """learn from rewards divided by the standard deviation of all rewards so far"""
    center_rewards: bool = False
    """learn from rewards less their recent mean, as long as no episode ends before its limit"""
    max_grad_norm: float = 10.0
    """maximum norm for gradient clipping"""
    target_network_frequency: int = 400
    """updates (not steps) between updates of the target networks"""
    tau: float = 1.0
    """target network update rate; 1 copies the online networks"""
    # [end]
    embed_dim: int = 32
    """width of the mixing network"""


# [shared: batch, agent]
# --- The algorithm --------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Windows of T steps from B episodes. Row t + 1 of the first three fields is what the actions of row t led to."""

    inputs: Tensor  # [T+1, B, n_agents, input_dim]: each agent's observation and, one-hot, its id
    state: Tensor  # [T+1, B, state_dim], which only QMIX uses
    avail_actions: Tensor  # [T+1, B, n_agents, n_actions] bool, at least one of an agent's True
    actions: Tensor  # [T, B, n_agents] int64
    reward: Tensor  # [T, B]: one reward for the team
    terminated: Tensor  # [T, B] bool: the game has ended, so do not bootstrap; a limit sets it with --limit-ends only
    mask: Tensor  # [T, B] bool: False for the padding after the end of an episode


class Agent(nn.Module):
    """Q_i for every agent i, with shared weights: Linear-ReLU-Linear-ReLU-Linear, or Linear-ReLU-GRU-Linear."""

    def __init__(self, env, hidden_dim, recurrent):
        super().__init__()
        self.encoder = nn.Linear(env.obs_dim + env.n_agents, hidden_dim)
        self.core = (nn.GRU if recurrent else nn.Linear)(hidden_dim, hidden_dim)
        self.head = nn.Linear(hidden_dim, env.n_actions)

    def forward(self, inputs, hidden=None):
        """inputs [T, B, n_agents, input_dim] -> q_i [T, B, n_agents, n_actions], features [T, B, n_agents, hidden_dim].

        With a GRU, pass the features as `hidden` to the next call: their last row continues the sequence.
        """
        x = F.relu(self.encoder(inputs.float()))
        if isinstance(self.core, nn.GRU):
            h_0 = None if hidden is None else hidden[-1:].flatten(1, 2)  # [1, B * n_agents, hidden_dim]
            x = self.core(x.flatten(1, 2), h_0)[0].view_as(x)
        else:
            x = F.relu(self.core(x))
        return self.head(x), x


# [end]
class Mixer(nn.Module):
    """Equation (1). The state enters only through the weights and biases, which are small networks of it."""

    def __init__(self, state_dim, n_agents, embed_dim):
        super().__init__()
        self.hyper_w1 = nn.Linear(state_dim, n_agents * embed_dim)
        self.hyper_b1 = nn.Linear(state_dim, embed_dim)
        self.hyper_w2 = nn.Linear(state_dim, embed_dim)
        self.hyper_b2 = nn.Sequential(nn.Linear(state_dim, embed_dim), nn.ReLU(), nn.Linear(embed_dim, 1))

    def forward(self, values, state):
        """values [T, B, n_agents], Q_i at one action each, state [T, B, state_dim] -> q_tot [T, B]."""
        state = state.float()
        # At most 1: the weights would grow with the state, and with them the value of going far (docs/environments.md).
        state = state / state.abs().amax(-1, keepdim=True).clamp(min=1)
        w1 = self.hyper_w1(state).abs().unflatten(-1, (values.shape[-1], -1))  # [T, B, n_agents, embed_dim]
        hidden = F.elu((values[..., None] * w1).sum(-2) + self.hyper_b1(state))  # [T, B, embed_dim]
        return (self.hyper_w2(state).abs() * hidden).sum(-1) + self.hyper_b2(state).squeeze(-1)


def compute_loss(networks, target_networks, batch, args):
    """Equations (1) to (3) on a Batch: the loss, and metrics to log."""
    q_i, _ = networks["agent"](batch.inputs[:-1])  # [T, B, n_agents, n_actions]
    q_taken = (q_i * F.one_hot(batch.actions, q_i.shape[-1])).sum(-1)  # [T, B, n_agents]
    q_tot = networks["mixer"](q_taken, batch.state[:-1])  # [T, B] (1)
    with torch.no_grad():
        first = 0 if args.recurrent else 1  # a GRU starts at row 0, whose output is dropped
        target_q_i = target_networks["agent"](batch.inputs[first:])[0][1 - first :]  # [T, B, n_agents, n_actions]
        chooser_q_i = networks["agent"](batch.inputs[first:])[0][1 - first :] if args.double_q else target_q_i
        greedy = chooser_q_i.masked_fill(~batch.avail_actions[1:], -torch.inf).argmax(-1)  # [T, B, n_agents]
        target_max = (target_q_i * F.one_hot(greedy, q_i.shape[-1])).sum(-1)  # [T, B, n_agents]
        bootstrap = target_networks["mixer"](target_max, batch.state[1:]).masked_fill(batch.terminated, 0)  # [T, B]
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
    agent, mixer = Agent(env, args.hidden_dim, args.recurrent), Mixer(env.state_dim, env.n_agents, args.embed_dim)
    return nn.ModuleDict({"agent": agent, "mixer": mixer})


# [shared: playing, remembering, training, paperwork]
# --- Playing and remembering ----------------------------------------------------------------------------------------


def epsilon_greedy(q_i, avail_actions, epsilon, rng):
    """Actions [E, n_agents] for q_i, avail_actions [E, n_agents, n_actions]; every agent explores independently."""
    greedy = np.where(avail_actions, q_i, -np.inf).argmax(axis=2)
    random = np.where(avail_actions, rng.random(q_i.shape), -1).argmax(axis=2)  # uniform over the available actions
    return np.where(rng.random(greedy.shape) < epsilon, random, greedy)


@torch.no_grad()
def rollout(env, agent, epsilon, rng, device):
    """Play one episode in every copy of `env`. Returns a Batch of numpy arrays, T steps long as the longest one."""
    obs, state = env.reset()
    agent_id = np.tile(np.eye(env.n_agents, dtype=obs.dtype), (env.num_envs, 1, 1))
    ended, hidden = np.zeros(env.num_envs, bool), None
    observations, transitions = [], []  # by time step: the first three fields of Batch, and the other four
    while True:
        inputs, state = np.concatenate([obs, agent_id], axis=2), state.copy()
        inputs[ended], state[ended] = 0, 0  # whatever a copy returns after its end
        avail_actions = env.avail_actions.astype(bool) | ended[:, None, None]  # a maximum exists in padding, too
        observations.append((inputs, state, avail_actions))
        if ended.all() or len(transitions) == env.episode_limit:
            break
        q_i, hidden = agent(torch.from_numpy(inputs)[None].to(device), hidden)
        actions = epsilon_greedy(q_i[0].cpu().numpy(), env.avail_actions, epsilon, rng)
        obs, state, reward, terminated = env.step(actions)
        terminated = ended | terminated.astype(bool)
        transitions.append((actions, np.where(ended, 0, reward).astype(np.float32), terminated, ~ended))
        ended = terminated
    return Batch(*map(np.stack, zip(*observations)), *map(np.stack, zip(*transitions)))


class ReplayBuffer:
    """The last episodes, one after the other in a ring of rows; T steps take T + 1, as they have T + 1 observations.

    A row holds the fields of Batch. Its inputs, state and available actions are kept as bits if they are bool.
    """

    def __init__(self, env, n_rows):
        inputs = np.zeros((env.n_agents, env.obs_dim + env.n_agents), env.obs_dtype)
        state, avail_actions = np.zeros(env.state_dim, env.state_dtype), np.zeros((env.n_agents, env.n_actions), bool)
        row = Batch(inputs, state, avail_actions, np.zeros(env.n_agents, np.int64), np.float32(0), np.False_, np.False_)
        self.n_bits = [x.shape[-1] if x.dtype == bool and x.ndim else None for x in row]
        row = [np.packbits(x, axis=-1) if n else x for x, n in zip(row, self.n_bits)]
        self.rows = np.zeros(n_rows, [(name, x.dtype, x.shape) for name, x in zip(Batch._fields, row)])
        self.start, self.length = np.zeros((2, n_rows // 2), int)  # first row and steps of each episode, rings as well
        self.oldest = self.n_episodes = self.next_row = 0  # they count on, so indices are taken modulo the ring's size

    def add(self, episodes):
        """episodes: a Batch of numpy arrays as `rollout` returns it."""
        length = episodes.mask.sum(axis=0)  # [B]
        end = self.next_row + np.cumsum(length + 1)
        self.next_row = end[-1]
        while self.oldest < self.n_episodes and self.start[self.oldest % len(self.start)] < end[-1] - len(self.rows):
            self.oldest += 1  # its rows are needed now
        slots = np.arange(self.n_episodes, self.n_episodes + len(length)) % len(self.start)
        self.start[slots], self.length[slots] = end - length - 1, length
        self.n_episodes += len(length)

        new = np.zeros(episodes.state.shape[:2], self.rows.dtype)  # [T+1, B]
        for name, x, n in zip(Batch._fields, episodes, self.n_bits):
            new[name][: len(x)] = np.packbits(x, axis=-1) if n else x
        t = np.arange(len(new))[:, None]
        self.rows[(self.start[slots] + t)[t <= length] % len(self.rows)] = new[t <= length]

    def sample(self, batch_size, window, rng, device):
        """A Batch of tensors: `batch_size` windows, from uniformly drawn episodes and starts, with replacement.

        T is `window`, or the length of the longest episode drawn if that is less.
        """
        slots = rng.integers(self.oldest, self.n_episodes, size=batch_size) % len(self.start)
        start, length = self.start[slots], self.length[slots]
        window = min(window, length.max())
        t = rng.integers(np.maximum(length - window, 0) + 1) + np.arange(window + 1)[:, None]  # [T+1, B]
        rows = self.rows.take((start + np.minimum(t, length)) % len(self.rows))  # the last row pads a shorter episode
        fields = [rows[name][: window + (k < 3)] for k, name in enumerate(Batch._fields)]  # all but three have T rows
        fields = [np.unpackbits(x, axis=-1, count=n) if n else x.copy() for x, n in zip(fields, self.n_bits)]
        batch = Batch(*(torch.from_numpy(x).to(device) for x in fields))
        return batch._replace(avail_actions=batch.avail_actions.bool())


class RewardScale:
    """What is learned from in place of the rewards, see --scale-rewards and --center-rewards.

    A constant taken from every reward changes no ranking of policies where all episodes are equally long (Naik et al.
    2024, "Reward Centering"), and large values that hardly differ are hard to learn. Where a game may end sooner,
    nothing is taken, as it could then pay to end it, or not to.
    """

    def __init__(self, args, episode_limit):
        self.args, self.episode_limit = args, episode_limit
        self.sums, self.recent_mean, self.n_rounds, self.ends_early = np.zeros(3), 0.0, 0, False

    def add(self, episodes):
        """episodes: a Batch of numpy arrays as `rollout` returns it."""
        reward = episodes.reward[episodes.mask].astype(np.float64)
        self.sums += [reward.size, reward.sum(), (reward**2).sum()]
        self.n_rounds += 1
        self.recent_mean += max(0.01, 1 / self.n_rounds) * (reward.mean() - self.recent_mean)
        self.ends_early = self.ends_early or (episodes.mask.sum(axis=0) < self.episode_limit).any()

    def __call__(self, batch):
        """A Batch of tensors with other rewards."""
        n, total, total_square = self.sums
        std = max(total_square / n - (total / n) ** 2, 0) ** 0.5
        center = self.recent_mean if self.args.center_rewards and not self.ends_early else 0.0
        scale = std if self.args.scale_rewards and std > 1e-4 * abs(total / n) else 1.0  # all alike: std is rounding
        return batch._replace(reward=(batch.reward - center) / scale)


# --- Training -------------------------------------------------------------------------------------------------------


def make_update(networks, target_networks, args):
    """update(batch): one step of Adam on the clipped gradient of compute_loss. Returns the metrics."""
    optimizer = torch.optim.Adam(networks.parameters(), args.learning_rate, fused=True)

    def update(batch):
        loss, metrics = compute_loss(networks, target_networks, batch, args)
        optimizer.zero_grad()
        loss.backward()
        metrics["losses/grad_norm"] = nn.utils.clip_grad_norm_(networks.parameters(), args.max_grad_norm)
        optimizer.step()
        return {name: value.detach() for name, value in metrics.items()}

    return update


def make_compiled_update(networks, target_networks, args):
    """The same as one graph. torch.compile fails silently on backward() and step(), so both are written out here, and
    on the gradient of gather() or x[index], so compute_loss has one-hot actions instead (docs/speed.md)."""
    weights = {name: weight.detach() for name, weight in networks.named_parameters()}  # the same memory
    mean, square = ({name: torch.zeros_like(weight) for name, weight in weights.items()} for _ in range(2))
    n = torch.zeros((), device="cuda" if args.cuda else "cpu")  # updates made; of type float64 it would stay 0
    networks.forward = lambda batch: compute_loss(networks, target_networks, batch, args)  # for functional_call
    gradient = torch.func.grad_and_value(
        lambda weights, batch: torch.func.functional_call(networks, weights, (batch,)), has_aux=True
    )

    def update(batch):
        grad, (_, metrics) = gradient(weights, batch)
        grad_norm = torch.stack([x.square().sum() for x in grad.values()]).sum().sqrt()
        scale = (args.max_grad_norm / (grad_norm + 1e-6)).clamp(max=1)  # as clip_grad_norm_
        n.add_(1)
        for name, weight in weights.items():  # Adam, Kingma & Ba (2015), Algorithm 1
            mean[name].lerp_(grad[name] * scale, 1 - 0.9)
            square[name].lerp_((grad[name] * scale) ** 2, 1 - 0.999)
            denominator = (square[name] / (1 - 0.999**n)).sqrt() + 1e-8
            weight.sub_(args.learning_rate * mean[name] / (1 - 0.9**n) / denominator)
        return {**metrics, "losses/grad_norm": grad_norm}

    if args.cuda:  # on a GPU one CUDA graph, which changes in place only what is known to stay where it is
        for x in (n, *weights.values(), *mean.values(), *square.values()):
            torch._dynamo.mark_static_address(x)
    return torch.compile(update, options={"triton.cudagraphs" if args.cuda else "cpp_wrapper": True})


def main(args):
    """Make the environments, train, and close them on every way out."""
    if args.cuda and not torch.cuda.is_available():
        exit_with_error("--cuda needs a GPU and a CUDA build of torch, and torch.cuda.is_available() is False")
    if args.compile and not shutil.which(compiler := os.environ.get("CXX", "g++")):
        exit_with_error(f"--compile needs a C++ compiler, and there is no {compiler}; CXX names another one")
    for number in (signal.SIGINT, signal.SIGTERM):  # leave through every `finally`
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    env_seed, eval_seed, rng_seed = (int(x) for x in np.random.SeedSequence(args.seed).generate_state(3))
    with ExitStack() as stack:
        try:
            env = envs.make(args.env, args.num_envs, env_seed, **args.env_args)
            stack.callback(envs.close, env)
            eval_env = envs.make(args.env, args.eval_episodes, eval_seed, **args.env_args)
            stack.callback(envs.close, eval_env)
            envs.check(eval_env)
        except envs.InvalidEnv as error:
            exit_with_error(error)
        train(args, env, eval_env, np.random.default_rng(rng_seed), np.random.default_rng(eval_seed))


def train(args, env, eval_env, rng, eval_rng):
    """Play, remember, update, evaluate, log."""
    device = torch.device("cuda" if args.cuda else "cpu")
    torch.set_num_threads(1)  # small matrices gain nothing from more
    torch.manual_seed(args.seed)
    window, limit = min(args.window, env.episode_limit), env.episode_limit
    if args.batch_size * window > args.buffer_size:
        exit_with_error(
            f"--batch-size {args.batch_size} x {window} steps is more than --buffer-size {args.buffer_size}"
        )
    if args.num_envs * limit > args.buffer_size:
        exit_with_error(f"--buffer-size must hold {args.num_envs} episodes of {limit} steps, got {args.buffer_size}")
    n_rows = args.buffer_size // limit * (limit + 1)
    n_rows = min(n_rows, 2 * (args.total_timesteps + args.num_envs * limit))  # T + 1 <= 2 T: more cannot be played
    try:
        replay_buffer = ReplayBuffer(env, n_rows)
        gib = (replay_buffer.rows.nbytes + 2 * replay_buffer.start.nbytes) / 2**30
        if hasattr(os, "sysconf") and gib > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30:
            raise MemoryError(f"{gib:.1f} GiB")
    except MemoryError as error:
        exit_with_error(f"--buffer-size {args.buffer_size} takes more memory than there is: {error}")
    networks = make_networks(env, args).to(device)
    target_networks = copy.deepcopy(networks).requires_grad_(False).to(device)  # again: copying leaves a GRU in pieces
    update = (make_compiled_update if args.compile else make_update)(networks, target_networks, args)
    reward_scale = RewardScale(args, limit)
    folder, wandb_run = open_run(args)
    print(f"{args.exp_name} on {args.env}, replay of up to {gib:.1f} GiB, logs in {folder}", flush=True)
    global_step, n_updates, next_eval, row, exit_code = 0, 0, args.eval_interval, {}, 1
    returns, sums, n_summed = [], 0, 0  # since the last evaluation: of every episode, and of the updates' metrics
    start_time = print_time = time.time()
    try:
        while global_step < args.total_timesteps:
            duration = args.exploration_fraction * args.total_timesteps
            epsilon = float(np.interp(global_step, [0, duration], [args.start_e, args.end_e]))
            episodes = rollout(env, networks["agent"], epsilon, rng, device)
            episodes.terminated[limit - 1 :] |= args.limit_ends
            replay_buffer.add(episodes)
            reward_scale.add(episodes)
            returns.extend(episodes.reward.sum(axis=0))
            global_step += int(episodes.mask.sum())

            for _ in range(global_step // args.train_frequency - n_updates):
                metrics = update(reward_scale(replay_buffer.sample(args.batch_size, window, rng, device)))
                sums, n_summed = sums + torch.stack([*metrics.values()]).double(), n_summed + 1
                n_updates += 1
                if n_updates % args.target_network_frequency == 0:
                    for target, online in zip(target_networks.parameters(), networks.parameters()):
                        target.lerp_(online.detach(), args.tau)

            if n_summed and not sums.isfinite().all():
                exit_with_error(
                    f"loss is not finite at step {global_step}, update {n_updates}; last logged: {row}", code=1
                )

            seconds, finished = time.time() - start_time, global_step >= args.total_timesteps
            if finished or (n_updates and global_step >= next_eval):
                eval_returns = rollout(eval_env, networks["agent"], 0.0, eval_rng, device).reward.sum(axis=0)
                row |= {  # without an update since the last evaluation its losses stay
                    "global_step": global_step,
                    "charts/seconds": seconds,
                    "charts/SPS": global_step / seconds,
                    "charts/epsilon": epsilon,
                    "charts/episodic_return": float(np.mean(returns)),
                    "eval/return_mean": float(eval_returns.mean()),
                    "eval/return_std": float(eval_returns.std()),
                }
                row |= dict(zip(metrics, (sums / n_summed).tolist())) if n_summed else {}
                log(folder, wandb_run, row)
                save(folder, networks, args, global_step)
                returns, sums, n_summed = [], 0, 0
                next_eval = (global_step // args.eval_interval + 1) * args.eval_interval
            if finished or time.time() - print_time > 5:
                print_time = time.time()
                evaluation = f"{row['eval/return_mean']:.2f}" if row else "-"
                left = timedelta(seconds=round(seconds * max(args.total_timesteps / global_step - 1, 0)))
                print(
                    f"step {global_step:,} of {args.total_timesteps:,}, train return "
                    f"{episodes.reward.sum(axis=0).mean():.2f}, eval return {evaluation}, "
                    f"{global_step / seconds:,.0f} steps/s, {left} left",
                    flush=True,
                )
        exit_code = 0
    except envs.InvalidEnv as error:
        exit_with_error(f"{error}; what was logged until step {global_step:,} is in {folder}", code=1)
    except SystemExit as error:
        exit_code = error.code
        print(f"stopped at step {global_step:,}, what was logged is in {folder}", flush=True)
        raise
    finally:
        wandb_run.finish(exit_code=exit_code)
    print(f"python -m benchmark show {folder}  # look at this run")


# --- Paperwork ------------------------------------------------------------------------------------------------------


def open_run(args):
    """Create runs/<env and its options>__<algorithm>__<seed>__<time>/ with config.json, and start W&B in it."""
    variant = f"-{args.variant}" if hasattr(args, "variant") else ""  # of QTRAN
    game = "-".join([args.env, *(f"{key}={value}" for key, value in args.env_args.items())])
    game = "".join(c if c.isalnum() or c in "_.=-" else "." for c in game)[:100]
    now = datetime.now().strftime("%Y%m%d-%H%M%S-%f")  # two runs may start in the same millisecond
    folder = Path("runs") / f"{game}__{args.exp_name}{variant}__{args.seed}__{now}"
    config = {"algo": Path(__file__).stem + variant, **asdict(args), "command": sys.argv}
    try:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    except OSError as error:
        exit_with_error(f"run folder {folder} cannot be written: {error.strerror}")

    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else W&B looks up a host name even when offline
    settings = wandb.Settings(console="off", silent=True, init_timeout=15, x_transaction_log_flush_interval=1)
    names = dict(project=args.wandb_project_name, entity=args.wandb_entity, name=folder.name, dir=folder.resolve())
    try:
        if args.wandb_mode == "online" and not wandb.login(prompt=False):
            raise wandb.Error("no API key: run `wandb login`, or train with --wandb-mode offline and upload later")
        wandb_run = wandb.init(mode=args.wandb_mode, config=config, settings=settings, **names)
    except wandb.Error as error:
        shutil.rmtree(folder)
        exit_with_error(f"--wandb-mode {args.wandb_mode}: {str(error).splitlines()[0]}")
    wandb_run.define_metric("*", step_metric="global_step")
    return folder, wandb_run


def log(folder, wandb_run, row):
    """Append a line to metrics.csv, all of it or nothing, where even a kill cannot lose it; then send it to W&B."""
    path = folder / "metrics.csv"
    size = path.stat().st_size if path.exists() else 0
    try:
        with open(path, "a", newline="") as file:
            csv.writer(file).writerows([row.values()] if size else [row.keys(), row.values()])
    except OSError as error:
        with suppress(OSError):
            os.truncate(path, size)
        exit_with_error(f"{path} cannot be written: {error.strerror}", code=1)
    wandb_run.log(row)


def save(folder, networks, args, global_step):
    """Write weights and arguments to model.pt, by way of another file, so that a complete one exists at any time."""
    weights = {name: network.state_dict() for name, network in networks.items()}
    torch.save(weights | {"args": asdict(args), "global_step": global_step}, model := io.BytesIO())
    try:
        (folder / "model.pt.new").write_bytes(model.getvalue())
        os.replace(folder / "model.pt.new", folder / "model.pt")
    except OSError as error:
        with suppress(OSError):
            os.remove(folder / "model.pt.new")
        exit_with_error(f"{folder / 'model.pt'} cannot be written: {error.strerror}", code=1)


# Defaults for games so unlike predator-prey that those of Args do not serve them, and for all that are not our own.
ONE_STEP = dict(num_envs=100, total_timesteps=100_000, eval_interval=5000, train_frequency=10)
ONE_STEP |= dict(hidden_dim=64, buffer_size=500_000)
UNIFORM = dict(start_e=1.0, end_e=1.0)  # the papers explore their matrix games uniformly
EXACT = dict(num_envs=200, total_timesteps=400_000, train_frequency=160, learning_rate=2e-4, batch_size=512)
TWO_STEP = dict(total_timesteps=20_000, eval_interval=1000, window=2, target_network_frequency=100, gamma=0.99)
DEFAULTS = {
    "matrix_game": ONE_STEP | UNIFORM | EXACT | dict(eval_interval=20_000),  # values to about 0.1
    "two_step_game": ONE_STEP | UNIFORM | TWO_STEP,
    "gaussian_squeeze": ONE_STEP,
}
OTHERS = dict(num_envs=8, start_e=0.4, end_e=0.05, exploration_fraction=1.0, buffer_size=50_000)
OTHERS |= dict(train_frequency=8, target_network_frequency=800)
OTHERS |= dict(double_q=True, scale_rewards=True, center_rewards=True)
# A GRU learns from whole episodes of up to 100 steps: one update on 32 of them per episode played, as in QMIX.
RECURRENT = dict(window=100, batch_size=32, train_frequency=100, target_network_frequency=400)


def parse():
    """Read the command line; --env and --recurrent choose the defaults of the rest. A mistake ends with exit code 2."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--env", default=Args.env)
    first.add_argument("--recurrent", action=argparse.BooleanOptionalAction)
    known, _ = first.parse_known_args()
    defaults = DEFAULTS.get(known.env, RECURRENT if known.recurrent else {})
    defaults = OTHERS | defaults if ":" in known.env else defaults
    if os.environ.get("WANDB_MODE") in ("offline", "online", "disabled"):
        defaults = defaults | dict(wandb_mode=os.environ["WANDB_MODE"])
    args = tyro.cli(Args, default=Args(env=known.env, **defaults), description=__doc__.split("\n\n")[0])

    limits = {argument.name: (1, np.inf) for argument in fields(Args) if argument.type is int}
    limits |= {argument.name: (0, np.inf) for argument in fields(Args) if argument.type is float}
    limits |= dict.fromkeys(["start_e", "end_e", "exploration_fraction", "gamma", "tau"], (0, 1))
    limits |= {name: (1, 2**13) for name in limits if name.endswith("_dim")}
    limits |= dict(seed=(0, 2**32 - 1), num_envs=(1, 2**16), batch_size=(1, 2**16), buffer_size=(1, 10**9))
    limits |= dict(total_timesteps=(1, 10**12), eval_episodes=(1, 2**16))
    for name, (low, high) in limits.items():
        value, allowed = getattr(args, name), f"[{low}, {high}]" if high < np.inf else f"[{low}, inf)"
        if not low <= value <= high or value == np.inf:
            exit_with_error(f"--{name.replace('_', '-')} must be in {allowed}, got {value}")
    if not args.max_grad_norm:
        exit_with_error("--max-grad-norm must be above 0, got 0.0: nothing would be learned")
    if sum(word.partition("=")[0] in ("--env-args", "--env_args") for word in sys.argv) > 1:
        exit_with_error("--env-args must be given once, with all options: the last one would replace the others")
    for name in {"num_envs", "seed"} & set(args.env_args):
        exit_with_error(f"--env-args cannot set {name}, use --{name.replace('_', '-')}")
    for name in ("exp_name", "wandb_project_name"):
        value = getattr(args, name)
        if not 0 < len(value) <= 100 or set(value) & set("/\\#?%:") or not value.isprintable() or not value.strip(". "):
            allowed = "1 to 100 printable characters, none of / \\ # ? % :, and not dots alone"
            exit_with_error(f"--{name.replace('_', '-')} must have {allowed}, got {value!r}")
    return args


def exit_with_error(message, code=2):
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main(parse())
# [end]
