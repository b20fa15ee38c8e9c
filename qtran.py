"""QTRAN (Son et al. 2019, "QTRAN: Learning to Factorize with Transformation for Cooperative Multi-Agent Reinforcement
Learning").

The joint value Q_jt(tau, u) may have any form: it is learned for itself, from tau = (tau_1, .., tau_n), what the agents
have observed and done, and their joint action u. The agents' own values Q_i(tau_i, u_i) need not add up to it; they
only have to be largest where it is largest. ubar = (argmax Q_1, .., argmax Q_n) is what the agents do. With

    Q'_jt(tau, u) = sum_i Q_i(tau_i, u_i)                                                                   (1)
    Q_jt(tau, u) = Q(sum_i h_Q(h_i, u_i)),  V_jt(tau) = V(sum_i h_V(h_i)),  h_i: the features Q_i is made of (2)
    D(tau, u) = Q'_jt(tau, u) - Q_jt(tau, u) + V_jt(tau)                                                    (3)

Theorem 1 of the paper says: if D = 0 at ubar (4a) and D >= 0 elsewhere (4b), then ubar is best for Q_jt, too, because
Q_jt(u) <= Q'_jt(u) + V_jt <= Q'_jt(ubar) + V_jt = Q_jt(ubar). V_jt makes up for what no single agent can see.
QTRAN-base learns Q_jt from the rewards, and the Q_i and V_jt from Q_jt, through which D passes no gradient. With u from
the replay:

    L = L_td + lambda_opt L_opt + lambda_nopt L_nopt                                                        (5)
    L_td = (Q_jt(tau, u) - y)^2,  y = r + gamma Q_jt(tau', ubar'; target),  ubar' of the target network     (6)
    L_opt = D(tau, ubar)^2                                                                                  (7)
    L_nopt = min(D(tau, u), 0)^2                                                                            (8)

(8) sets no upper bound: where Q'_jt is too high it stays so until it becomes greedy and (7) corrects it. QTRAN-alt
wants more than (4b), that min_{u_i} D(tau, u_i, u_-i) = 0 for every agent i, whatever the others do, u_-i. That takes
Q_jt at all of an agent's actions, those that were not taken, too:

    Q_jt(tau, u_i, u_-i) = Q(h_Q(h_i, u_i) + sum_{j != i} h_Q(h_j, u_j)) for every u_i                       (9)
    L_nopt-min = mean_i (min_{u_i} D(tau, u_i, u_-i))^2 in place of (8)                                    (10)

(The numbers are this file's; 4a and 4b are also the paper's. For (9) the paper has a network of its own, which puts
out a value for each u_i, to save evaluations. Here it is Q_jt itself that is asked: as (2) is a sum, that costs
little.)

    python qtran.py --env matrix_game                   prints what was learned, as Table 1 of the paper does
    python qtran.py --env predator_prey --seed 1        a run of some minutes; logs below runs/
    python qtran.py --predator-prey.penalty 1.5 --total-timesteps 2e6
                                                        the highest penalty of the paper; takes longer to learn
    python qtran.py --env predator_prey --variant base  QTRAN-base
    python qtran.py --env predator_prey --help          all arguments, with their defaults for this environment

y and V_jt are by default what the paper prints. The authors' released QTRAN-base is --variant base --td-target factored
--no-value-net. Which of these forms works best? README.md, Results, has the measurements.
"""

# [shared: arguments]
# /// script
# requires-python = ">=3.10"
# dependencies = [
#     "numpy>=1.26,<3",
#     "torch==2.13.0",
#     "tyro>=1.0,<2",
#     "wandb>=0.31,<0.32",
# ]
# ///
import argparse
import copy
import csv
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro
from tyro.constructors import PrimitiveConstructorSpec

import envs


def whole(words):
    if float(words[0]) % 1:
        raise ValueError(f"{words[0]} is not a whole number")
    return int(float(words[0]))


# An integer that may be written 1e6.
Count = Annotated[int, PrimitiveConstructorSpec(1, "INT", whole, lambda x: isinstance(x, int), lambda x: [str(x)])]


@dataclass
class Args:
    env: str = "predator_prey"
    """matrix_game, two_step_game, gaussian_squeeze, predator_prey, or module:Class for an environment of your own"""
    seed: Count = 1
    """seed of everything random: environments, exploration, replay, weights"""
    cuda: bool = False
    """keep networks and losses on the GPU"""
    exp_name: str = Path(__file__).stem
    """name of the experiment"""
    wandb_mode: Literal["offline", "online", "disabled"] = "offline"
    """offline: W&B files in the run folder, to be uploaded later or never; online: upload now; disabled: none"""
    wandb_project_name: str = "value-factorisation"
    """the W&B project"""
    wandb_entity: str | None = None
    """the W&B user or team, if not your default one"""

    total_timesteps: Count = 1_000_000
    """environment steps to train for, rounded up to whole episodes of all copies"""
    num_envs: Count = 20
    """copies of the environment that play in parallel"""
    eval_interval: Count = 20_000
    """steps between greedy evaluations of 32 episodes; each is a line of metrics.csv"""
    start_e: float = 1.0
    """epsilon at the start"""
    end_e: float = 0.1
    """epsilon at the end"""
    exploration_fraction: float = 0.5
    """share of the steps over which epsilon falls from start to end"""

    recurrent: bool = False
    """agents remember by a GRU; otherwise they know only their present observation and last action"""
    hidden_dim: Count = 128
    """width of the agent network"""
    buffer_size: Count = 2_000_000
    """steps in the replay, which keeps a full episode's room for each episode"""
    train_frequency: Count = 16
    """environment steps for each update"""
    batch_size: Count = 128
    """windows in each update"""
    window: Count = 1
    """consecutive steps in a window; shorter episodes are taken whole"""
    learning_rate: float = 5e-4
    """step size of Adam"""
    gamma: float = 0.9
    """discount factor"""
    max_grad_norm: float = 10.0
    """gradients are scaled down to this norm"""
    target_network_frequency: Count = 400
    """updates (not steps) between updates of the target network"""
    tau: float = 1.0
    """how far the target network is moved towards the online one; 1 copies it"""

    gaussian_squeeze: envs.GaussianSqueezeOptions = field(default_factory=envs.GaussianSqueezeOptions)
    predator_prey: envs.PredatorPreyOptions = field(default_factory=envs.PredatorPreyOptions)
    # [end]
    variant: Literal["base", "alt"] = "alt"
    """QTRAN-base or QTRAN-alt"""
    td_target: Literal["joint", "factored"] = "joint"
    """what y bootstraps from: joint, Q_jt at the greedy actions, as printed in the paper; factored, the sum of max Q_i
    (plus V_jt, if there is one), as in the authors' code"""
    value_net: bool = True
    """learn V_jt, as in the paper; without, as in the authors' code, V_jt is 0"""
    lambda_opt: float = 1.0
    """weight of L_opt"""
    lambda_nopt: float = 1.0
    """weight of L_nopt or L_nopt-min"""
    joint_dim: Count = 128
    """width of the joint networks"""


# [shared: parsing, agent]
# Where an environment is so unlike predator-prey that the defaults above do not serve it.
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
# A GRU learns from whole episodes of up to 100 steps: one update on 32 of them for each one played, as for QMIX.
RECURRENT = dict(window=100, batch_size=32, train_frequency=100)


def stop(message, code=2):
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    sys.exit(code)


def parse():
    """Read the command line; --env and --recurrent choose the defaults of the rest. Mistakes end with exit code 2."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--env", default=Args.env)
    first.add_argument("--recurrent", action=argparse.BooleanOptionalAction)
    known = first.parse_known_args()[0]
    defaults = DEFAULTS.get(known.env, RECURRENT if known.recurrent else {})
    args = tyro.cli(Args, default=Args(env=known.env, **defaults), description=__doc__.split("\n\n")[0])

    limits = {argument.name: (1, np.inf) for argument in fields(Args) if argument.type is Count}
    limits |= {argument.name: (0, np.inf) for argument in fields(Args) if argument.type is float}
    limits |= dict.fromkeys(["start_e", "end_e", "exploration_fraction", "gamma", "tau"], (0, 1))
    limits["seed"] = (0, 2**32 - 1)
    for name, (low, high) in limits.items():
        value, allowed = getattr(args, name), f"[{low}, {high}]" if high < np.inf else f"[{low}, inf)"
        if not low <= value <= high or value == np.inf:
            stop(f"--{name.replace('_', '-')} must be in {allowed}, got {value}")
    for name in ("exp_name", "wandb_project_name"):
        value = getattr(args, name)
        if not 0 < len(value) <= 100 or set(value) & set("/\\#?%:"):
            stop(f"--{name.replace('_', '-')} must have 1 to 100 characters, none of / \\ # ? % :, got {value!r}")
    for name in {"gaussian_squeeze", "predator_prey"} - {args.env}:
        if getattr(args, name) != getattr(Args(), name):
            stop(f"--{name.replace('_', '-')}.* must go with --env {name}, got --env {args.env}")
    return args


if __name__ == "__main__":
    args = parse()  # before the slow imports, so that --help and mistakes are answered at once

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else W&B looks up a host name even when offline
import torch  # noqa: E402
import wandb  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class Batch(NamedTuple):
    """Windows of T steps from B episodes. Row t + 1 of the first three is what followed the actions of row t."""

    obs: Tensor  # [T+1, B, n_agents, input_dim]: observation, last action and agent id, see `rollout`
    state: Tensor  # [T+1, B, state_dim]
    avail_actions: Tensor  # [T+1, B, n_agents, n_actions] bool
    actions: Tensor  # [T, B, n_agents] int64
    reward: Tensor  # [T, B] the team's
    terminated: Tensor  # [T, B] bool: the game itself is over, nothing to bootstrap from; a time limit does not set it
    filled: Tensor  # [T, B] bool: False for the padding after the end of an episode


class Agent(nn.Module):
    """Q_i of all agents, one set of weights: Linear-ReLU-GRU-Linear, or Linear-ReLU-Linear-ReLU-Linear."""

    def __init__(self, env, hidden_dim, recurrent):
        super().__init__()
        self.encoder = nn.Linear(env.obs_dim + env.n_actions + env.n_agents, hidden_dim)
        self.core = (nn.GRU if recurrent else nn.Linear)(hidden_dim, hidden_dim)
        self.head = nn.Linear(hidden_dim, env.n_actions)

    def forward(self, obs, hidden=None):
        """obs [T, B, n_agents, input_dim] -> q_i [T, B, n_agents, n_actions], features [T, B, n_agents, hidden_dim].

        The last row of the features is the GRU's memory: given back as `hidden`, it continues the sequence.
        """
        x = F.relu(self.encoder(obs.float()))
        if isinstance(self.core, nn.GRU):
            memory = None if hidden is None else hidden[-1:].flatten(1, 2)  # [1, B * n_agents, hidden_dim]
            x = self.core(x.flatten(1, 2), memory)[0].view_as(x)
        else:
            x = F.relu(self.core(x))
        return self.head(x), x


# [end]


def mlp(inputs, width, outputs):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


class JointNetwork(nn.Module):
    """Q_jt, equation (2). h_Q(h_i, u_i) = ReLU(W h_i + w_{u_i}), where `encoder` is W h_i, the same for every u_i."""

    def __init__(self, hidden_dim, n_actions, joint_dim):
        super().__init__()
        self.encoder = nn.Linear(hidden_dim, joint_dim)  # W
        self.actions = nn.Linear(n_actions, joint_dim, bias=False)  # a column w_u for each action u
        self.head = mlp(joint_dim, joint_dim, 1)  # Q

    def forward(self, encoded, actions):
        """encoded, W h_i [T, B, n_agents, joint_dim], actions [T, B, n_agents] -> Q_jt(tau, u) [T, B]."""
        taken = F.relu(encoded + self.actions.weight.t()[actions])  # [T, B, n_agents, joint_dim]
        return self.head(taken.sum(-2)).squeeze(-1)

    @torch.no_grad()  # D passes no gradient to Q_jt
    def counterfactual(self, encoded, actions):
        """Q_jt(tau, ., u_-i) of every agent i, equation (9): [T, B, n_agents, n_actions]."""
        w = self.actions.weight.t().contiguous()  # [n_actions, joint_dim]
        taken = F.relu(encoded + w[actions])  # [T, B, n_agents, joint_dim]
        others = taken.sum(-2, keepdim=True) - taken  # all but agent i's own
        every = (encoded[..., None, :] + w).relu_()  # [T, B, n_agents, n_actions, joint_dim], large: changed in place
        return self.head(every.add_(others[..., None, :])).squeeze(-1)


class ValueNetwork(nn.Module):
    """V_jt, equation (2)."""

    def __init__(self, hidden_dim, joint_dim):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(hidden_dim, joint_dim), nn.ReLU())  # h_V
        self.head = mlp(joint_dim, joint_dim, 1)

    def forward(self, features):
        """features [T, B, n_agents, hidden_dim] -> V_jt(tau) [T, B]."""
        return self.head(self.encoder(features).sum(-2)).squeeze(-1)


def pick(values, actions):
    """values [..., n_actions], actions [...] -> the values of these actions [...]."""
    return values.gather(-1, actions[..., None]).squeeze(-1)


def qtran_loss(q, q_jt, q_jt_greedy, q_jt_each, v_jt, target_value, batch, gamma, lambda_opt, lambda_nopt):
    """Equations (1) and (3) to (8), with q_jt_each (10) in place of (8): the loss, and what to log of it.

    q [T, B, n_agents, n_actions] are the Q_i at steps 0..T-1; q_jt, q_jt_greedy, v_jt [T, B] are Q_jt(tau, u),
    Q_jt(tau, ubar) and V_jt(tau) there; q_jt_each [T, B, n_agents, n_actions] is Q_jt(tau, ., u_-i) of each agent for
    QTRAN-alt, None for QTRAN-base; target_value [T, B] is what (6) bootstraps from, at steps 1..T.
    """
    q_taken = pick(q, batch.actions)  # [T, B, n_agents]
    q_prime = q_taken.sum(-1)  # [T, B] (1)
    q_prime_greedy = q.masked_fill(~batch.avail_actions[:-1], -torch.inf).amax(-1).sum(-1)  # [T, B] (1) at ubar
    y = batch.reward + gamma * target_value.masked_fill(batch.terminated, 0)  # [T, B] (6)
    td_error = q_jt - y.detach()  # [T, B]
    d_greedy = q_prime_greedy - q_jt_greedy.detach() + v_jt  # [T, B] (3) at ubar: 0 if (4a)
    d_taken = q_prime - q_jt.detach() + v_jt  # [T, B] (3) at u: not negative if (4b)
    if q_jt_each is None:
        nopt = d_taken.clamp(max=0) ** 2  # [T, B] (8)
    else:
        q_prime_each = (q_prime[..., None] - q_taken)[..., None] + q  # [T, B, n_agents, n_actions] Q'_jt(tau, ., u_-i)
        d_each = q_prime_each - q_jt_each.detach() + v_jt[..., None, None]  # [T, B, n_agents, n_actions] (3)
        d_min = d_each.masked_fill(~batch.avail_actions[:-1], torch.inf).amin(-1)  # [T, B, n_agents]
        nopt = (d_min**2).mean(-1)  # [T, B] (10)
    of_steps = {  # [T, B] each
        "losses/td": td_error**2,  # (6)
        "losses/opt": d_greedy**2,  # (7)
        "losses/nopt": nopt,
        "values/target": y,
        "values/q_jt": q_jt,
        "values/q_prime": q_prime,
        "values/q_taken": q_taken.mean(-1),
        "values/v_jt": v_jt,
        "values/abs_d_greedy": d_greedy.abs(),
        "values/d_negative": (d_taken < 0).float(),
    }
    weight = batch.filled / batch.filled.sum()  # [T, B]: to take means over what is not padding
    info = dict(zip(of_steps, (torch.stack([*of_steps.values()]) * weight).sum((1, 2))))
    return info["losses/td"] + lambda_opt * info["losses/opt"] + lambda_nopt * info["losses/nopt"], info  # (5)


@torch.no_grad()
def agreement(joint, encoded, greedy, avail_actions):
    """Share of states in which the best of all joint actions by Q_jt is ubar.

    encoded [S, n_agents, joint_dim], greedy [S, n_agents], avail_actions [S, n_agents, n_actions].
    """
    _, n_agents, n_actions = avail_actions.shape
    choices = [torch.arange(n_actions, device=encoded.device)] * n_agents
    joint_actions = torch.cartesian_prod(*choices).view(-1, n_agents)  # [J, n_agents]
    J = len(joint_actions)
    every = -(-len(encoded) * J // 16384)  # where there are too many, leave out states
    encoded, greedy, avail_actions = encoded[::every], greedy[::every], avail_actions[::every]
    actions = joint_actions[:, None].expand(-1, len(greedy), -1)  # [J, S, n_agents]
    q_jt = joint(encoded.expand(J, -1, -1, -1), actions)  # [J, S]
    allowed = pick(avail_actions.expand(J, -1, -1, -1), actions).all(-1)  # [J, S]
    best = joint_actions[q_jt.masked_fill(~allowed, -torch.inf).argmax(0)]  # [S, n_agents]
    return (best == greedy).all(-1).float().mean()


def make_networks(env, args):
    networks = {"agent": Agent(env, args.hidden_dim, args.recurrent)}
    networks["joint"] = JointNetwork(args.hidden_dim, env.n_actions, args.joint_dim)
    if args.value_net:
        networks["value"] = ValueNetwork(args.hidden_dim, args.joint_dim)
    return nn.ModuleDict(networks)


def compute_loss(networks, targets, batch, args, diagnose=False):
    """The loss of the networks on a Batch, and what to log of it. To `diagnose` every batch would be too slow."""
    joint = networks["joint"]
    q, features = networks["agent"](batch.obs[:-1])
    encoded = joint.encoder(features)  # [T, B, n_agents, joint_dim]
    q_jt = joint(encoded, batch.actions)
    v_jt = networks["value"](features) if args.value_net else torch.zeros_like(batch.reward)
    with torch.no_grad():
        greedy = q.masked_fill(~batch.avail_actions[:-1], -torch.inf).argmax(-1)  # [T, B, n_agents] ubar
        q_jt_greedy = joint(encoded, greedy)
        q_jt_each = joint.counterfactual(encoded, batch.actions) if args.variant == "alt" else None
        first = 0 if args.recurrent else 1  # a GRU has to be warm before the second observation
        target_q, target_features = (x[1 - first :] for x in targets["agent"](batch.obs[first:]))
        target_max, target_greedy = target_q.masked_fill(~batch.avail_actions[1:], -torch.inf).max(-1)
        if args.td_target == "joint":
            target_joint = targets["joint"]
            target_value = target_joint(target_joint.encoder(target_features), target_greedy)  # [T, B]
        else:
            target_value = target_max.sum(-1) + (targets["value"](target_features) if args.value_net else 0)  # [T, B]
    weights = args.gamma, args.lambda_opt, args.lambda_nopt
    loss, info = qtran_loss(q, q_jt, q_jt_greedy, q_jt_each, v_jt, target_value, batch, *weights)
    if diagnose and q.shape[-1] ** q.shape[-2] <= 4096:
        states = (x[batch.filled] for x in (encoded, greedy, batch.avail_actions[:-1]))
        info["values/agreement"] = agreement(joint, *states)
    return loss, info


# [shared: replay, rollout, logging, training]
class Replay:
    """The last `capacity` episodes, every field [capacity, episode_limit + 1, ...] in the type of `rollout`.

    Observations, states and available actions that are bool are kept as bits, eight to a byte.
    """

    def __init__(self, capacity):
        self.capacity, self.added, self.fields = capacity, 0, None

    def add(self, episodes):
        """episodes: a Batch of numpy arrays, whole episodes from `rollout`."""
        self.n_bits = [x.shape[-1] if x.dtype == bool and x.ndim > 2 else None for x in episodes]
        episodes = Batch(*(np.packbits(x, axis=-1) if n else x for x, n in zip(episodes, self.n_bits)))
        if self.fields is None:
            rows = len(episodes.obs)  # episode_limit + 1
            self.fields = [np.zeros((self.capacity, rows, *x.shape[2:]), x.dtype) for x in episodes]
            self.length = np.zeros(self.capacity, int)
        n = episodes.filled.shape[1]
        slots = np.arange(self.added, self.added + n) % self.capacity
        for stored, new in zip(self.fields, episodes):
            stored[slots, : len(new)] = new.swapaxes(0, 1)
        self.length[slots] = episodes.filled.sum(axis=0)
        self.added += n

    def sample(self, batch_size, window, rng, device):
        """A Batch of tensors: `batch_size` windows from episodes and starts drawn uniformly, with replacement."""
        episode = rng.integers(min(self.added, self.capacity), size=batch_size)
        start = rng.integers(np.maximum(self.length[episode] - window, 0) + 1)
        t = start + np.arange(window + 1)[:, None]  # [T+1, B]
        windows = [stored[episode, t] for stored in self.fields]
        windows = [np.unpackbits(x, axis=-1, count=n) if n else x for x, n in zip(windows, self.n_bits)]
        obs, state, avail_actions, *rest = (torch.from_numpy(x).to(device) for x in windows)
        return Batch(obs, state, avail_actions.bool(), *(x[:-1] for x in rest))


def epsilon_greedy(q, avail_actions, epsilon, rng):
    """Each agent on its own explores with probability epsilon: q, avail_actions [E, N, n_actions] -> actions [E, N]."""
    greedy = np.where(avail_actions, q, -np.inf).argmax(axis=2)
    random = np.where(avail_actions, rng.random(q.shape), -1).argmax(axis=2)  # uniform over the available ones
    return np.where(rng.random(greedy.shape) < epsilon, random, greedy)


@torch.no_grad()
def rollout(env, agent, epsilon, rng, device):
    """Play one episode in every copy of `env`. Returns a Batch of numpy arrays with T = episode_limit, B = num_envs."""
    obs, state = env.reset()
    agent_id = np.tile(np.eye(env.n_agents, dtype=obs.dtype), (env.num_envs, 1, 1))
    last_action = np.zeros((env.num_envs, env.n_agents, env.n_actions), obs.dtype)
    over, hidden = np.zeros(env.num_envs, bool), None
    before, after = [], []  # the rows of Batch's first three fields, and of the others
    while True:
        inputs = np.concatenate([obs, last_action, agent_id], axis=2)
        may = env.avail_actions.astype(bool) | over[:, None, None]  # one action at least, so that padding is finite
        before.append((inputs, state.copy(), may))
        if over.all() or len(after) == env.episode_limit:
            break
        q, hidden = agent(torch.from_numpy(inputs)[None].to(device), hidden)
        actions = epsilon_greedy(q[0].cpu().numpy(), env.avail_actions, epsilon, rng)
        obs, state, reward, terminated = env.step(actions)
        terminated = over | terminated.astype(bool)
        after.append((actions, np.where(over, 0, reward).astype(np.float32), terminated, ~over))
        over = terminated
        last_action = np.eye(env.n_actions, dtype=obs.dtype)[actions]
    rest = env.episode_limit - len(after)  # padding, not filled
    before += [before[-1]] * rest
    after += [(actions, np.zeros_like(after[-1][1]), over, ~over)] * rest
    return Batch(*map(np.stack, zip(*before)), *map(np.stack, zip(*after)))


def open_run(args):
    """Create runs/<env>__<script>__<seed>__<time>/ with config.json, and start W&B in it."""
    now = datetime.now().strftime("%Y%m%d-%H%M%S-%f")  # two runs may start in the same millisecond
    folder = Path("runs") / f"{args.env.replace(':', '.')}__{args.exp_name}__{args.seed}__{now}"
    versions = {"python": platform.python_version()}
    versions |= {library.__name__: library.__version__ for library in (torch, np, wandb)}
    git = "git describe --always --dirty --abbrev=40 --exclude=*".split()
    try:
        here = Path(__file__).resolve().parent
        commit = subprocess.run(git, cwd=here, capture_output=True, text=True).stdout.strip() or None
    except OSError:  # no git on this machine
        commit = None
    variant = getattr(args, "variant", None)  # of QTRAN
    config = {"algo": Path(__file__).stem + (f"-{variant}" if variant else ""), **asdict(args)}
    config |= {"git_commit": commit, "versions": versions, "command": sys.argv}
    try:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    except OSError as error:
        stop(f"run folder {folder} cannot be written: {error.strerror}")

    def init(mode):
        settings = wandb.Settings(console="off", silent=True, init_timeout=15, x_transaction_log_flush_interval=1)
        names = dict(project=args.wandb_project_name, entity=args.wandb_entity, name=folder.name, dir=folder.resolve())
        run = wandb.init(mode=mode, config=config, settings=settings, **names)
        run.define_metric("*", step_metric="global_step")
        return run

    if args.wandb_mode != "online":
        return folder, init(args.wandb_mode)
    try:
        if not wandb.login(prompt=False):
            raise wandb.Error("not logged in, see `wandb login`")
        return folder, init("online")
    except wandb.Error as error:
        print(f"W&B logs offline: {str(error).splitlines()[0]}", flush=True)
        return folder, init("offline")


def log(folder, wandb_run, row):
    """Append a line to metrics.csv, where a kill cannot lose it once this returns, and send it to W&B."""
    is_new = not (folder / "metrics.csv").exists()
    with open(folder / "metrics.csv", "a", newline="") as file:
        csv.writer(file).writerows([row.keys(), row.values()] if is_new else [row.values()])
    wandb_run.log(row)


def save(folder, networks, args, global_step):
    """Write model.pt, the weights by network and the arguments, so that there is a whole one at any time."""
    weights = {name: network.state_dict() for name, network in networks.items()}
    torch.save(weights | {"args": asdict(args), "global_step": global_step}, folder / "model.pt.new")
    os.replace(folder / "model.pt.new", folder / "model.pt")


@torch.no_grad()
def print_payoffs(env, networks, targets, args, device):
    """What was learned of a one-step game of two agents, in the manner of Table 1 of Son et al. 2019.

    `env` has n_actions^2 copies, one to play each joint action once. Where they do not all begin alike, or may not take
    every action, there is no such table.
    """
    n = env.n_actions
    actions = torch.arange(n)
    choices = torch.eye(n)[torch.cartesian_prod(actions, actions)]  # [n * n, 2, n]
    played = rollout(env, lambda obs, hidden: (choices[None], None), 0.0, np.random.default_rng(), device)
    batch = Batch(*(torch.from_numpy(x).to(device) for x in played))
    alike = all((x[0] == x[0, 0]).all() for x in (batch.obs, batch.state))
    if not alike or not batch.avail_actions[0].all():
        return
    q_1, q_2 = networks["agent"](batch.obs[:1])[0][0, 0]  # [n] each
    q_prime = (q_1[:, None] + q_2).flatten()  # [n * n]
    row, column, greedy = q_1.argmax(), q_2.argmax(), q_prime.argmax()
    tables = [
        ("payoff", batch.reward[0], greedy),
        ("q_1", q_1, row),
        ("q_2", q_2, column),
        ("q_prime", q_prime, greedy),
    ]
    infos = [compute_loss(networks, targets, Batch(*(x[:, k : k + 1] for x in batch)), args)[1] for k in range(n * n)]
    learned = {name: torch.stack([info[name] for info in infos]) for name in infos[0]}  # [n * n] each
    if "values/q_tot" in learned:
        tables.append(("q_tot", learned["values/q_tot"], greedy))
    if "values/q_jt" in learned:
        q_jt, v_jt = learned["values/q_jt"], learned["values/v_jt"]
        tables += [("q_jt", q_jt, greedy), ("v_jt", v_jt[:1], None), ("D", q_prime - q_jt + v_jt, greedy)]
    print("\nWhat was learned (rows: actions of agent 1, columns: of agent 2, *: greedy)")
    for name, values, star in tables:
        cells = [f"{value:8.2f}{'*' if k == star else ' '}" for k, value in enumerate(values.tolist())]
        for k in range(0, len(cells), n):
            print(f"{name if k == 0 else '':8}{''.join(cells[k : k + n])}".rstrip(), flush=True)


def main(args):
    if args.cuda and not torch.cuda.is_available():
        stop("--cuda needs a GPU and a CUDA build of torch, and torch.cuda.is_available() is False")
    device = torch.device("cuda" if args.cuda else "cpu")
    torch.set_num_threads(1)  # small matrices gain nothing from more
    torch.manual_seed(args.seed)
    env_seed, eval_seed, rng_seed = (int(x) for x in np.random.SeedSequence(args.seed).generate_state(3))
    rng, eval_rng = np.random.default_rng(rng_seed), np.random.default_rng(eval_seed)
    options = asdict(args).get(args.env, {}) if args.env in envs.ENVS else {}
    try:
        env = envs.make(args.env, args.num_envs, env_seed, **options)
        eval_env = envs.make(args.env, 32, eval_seed, **options)
    except ValueError as error:
        stop(error)
    window, capacity = min(args.window, env.episode_limit), args.buffer_size // env.episode_limit
    if args.batch_size * window > args.buffer_size:
        stop(f"--batch-size {args.batch_size} x {window} steps must be at most --buffer-size {args.buffer_size}")
    if args.num_envs > capacity:
        stop(f"--buffer-size must hold {args.num_envs} episodes of {env.episode_limit} steps, got {args.buffer_size}")
    networks = make_networks(env, args).to(device)
    targets = copy.deepcopy(networks).requires_grad_(False)
    optimizer = torch.optim.Adam(networks.parameters(), args.learning_rate, fused=True)
    replay = Replay(capacity)

    for number in (signal.SIGINT, signal.SIGTERM):  # leave through `finally`, with what was logged
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    folder, wandb_run = open_run(args)
    print(f"{args.exp_name} on {args.env}, logs in {folder}", flush=True)

    exit_code, row = 1, {}
    start_time = said = time.time()
    global_step, n_updates, next_eval = 0, 0, args.eval_interval
    returns, metrics = [], defaultdict(list)  # since the last evaluation, one entry for each episode or update
    try:
        while global_step < args.total_timesteps:
            duration = args.exploration_fraction * args.total_timesteps
            epsilon = float(np.interp(global_step, [0, duration], [args.start_e, args.end_e]))
            episodes = rollout(env, networks["agent"], epsilon, rng, device)
            replay.add(episodes)
            returns.extend(episodes.reward.sum(axis=0))
            global_step += int(episodes.filled.sum())

            for _ in range(global_step // args.train_frequency - n_updates):
                batch = replay.sample(args.batch_size, window, rng, device)
                loss, info = compute_loss(networks, targets, batch, args, diagnose=not metrics)
                optimizer.zero_grad()
                loss.backward()
                info["losses/grad_norm"] = nn.utils.clip_grad_norm_(networks.parameters(), args.max_grad_norm)
                optimizer.step()
                for name, value in info.items():
                    metrics[name].append(value.detach())
                n_updates += 1
                if n_updates % args.target_network_frequency == 0:
                    for target, online in zip(targets.parameters(), networks.parameters()):
                        target.lerp_(online.detach(), args.tau)

            if metrics and not metrics["losses/grad_norm"][-1].isfinite():
                stop(f"the loss is not finite at step {global_step}, update {n_updates}; last logged: {row}", code=1)

            seconds = time.time() - start_time
            finished = global_step >= args.total_timesteps
            if finished or (n_updates and global_step >= next_eval):
                scores = rollout(eval_env, networks["agent"], 0.0, eval_rng, device).reward.sum(axis=0)
                row |= {  # keeps the last losses where there was no update since
                    "global_step": global_step,
                    "charts/seconds": seconds,
                    "charts/SPS": global_step / seconds,
                    "charts/epsilon": epsilon,
                    "charts/episodic_return": float(np.mean(returns)),
                    "eval/return_mean": float(scores.mean()),
                    "eval/return_std": float(scores.std()),
                }
                row |= {name: torch.stack(values).mean().item() for name, values in metrics.items()}
                log(folder, wandb_run, row)
                save(folder, networks, args, global_step)
                returns, metrics = [], defaultdict(list)
                next_eval = (global_step // args.eval_interval + 1) * args.eval_interval
            if finished or time.time() - said > 5:
                said = time.time()
                train, evaluation = episodes.reward.sum(axis=0).mean(), row.get("eval/return_mean", np.nan)
                left = timedelta(seconds=round(seconds * max(args.total_timesteps / global_step - 1, 0)))
                print(
                    f"step {global_step:,} of {args.total_timesteps:,}, train return {train:.2f}, eval return "
                    f"{evaluation:.2f}, {global_step / seconds:,.0f} steps/s, {left} left",
                    flush=True,
                )
        if env.n_agents == 2 and env.episode_limit == 1:
            joint_envs = envs.make(args.env, env.n_actions**2, eval_seed, **options)
            print_payoffs(joint_envs, networks, targets, args, device)
        exit_code = 0
    except SystemExit as error:
        exit_code = error.code
        print(f"stopped at step {global_step:,}, what was logged is in {folder}", flush=True)
        raise
    finally:
        wandb_run.finish(exit_code=exit_code)


if __name__ == "__main__":
    main(args)
# [end]
