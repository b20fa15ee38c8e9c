"""Why QTRAN fails in Gaussian squeeze: python benchmark/squeeze.py [runs/gaussian_squeeze__*/model.pt ...]

By (1), (4a) and (4b) of qtran.py, every joint action u has

    sum_i (max_a Q_i(a) - Q_i(u_i)) = Q'_jt(ubar) - Q'_jt(u) <= Q_jt(ubar) - Q_jt(u)

No summand is negative. So none of agent i's actions may lie further below its best than what the best joint action
with it loses against the best of all: its slack. Ten agents make up for nearly everything that one of them does, so in
most games of Gaussian squeeze the slack of all actions is nearly 0, and Q_i that meet the conditions are flat. What is
greedy is then decided by the errors of Q_jt.

Printed: in how many games that is so, and for each saved run, in fresh games that are such: the spread of Q_i, from an
agent's best action to its worst, and what greedy play gets. Any script's model.pt will do.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import envs  # noqa: E402
from vdn import Agent, rollout  # noqa: E402  # the same in all scripts

PEAKS = {1: ([8], [0.5]), 2: ([8, 5], [0.5, 1])}  # mu and sigma, by the number of domains
FLAT = 0.01  # of a best reward of 5 to 8


def slack(s, n_domains):
    """What the best joint action with u_i = a loses against the best of all: s [E, n] -> [E, n, 11].

    As in optimum.py, every x between the least and the most that can be had counts as reachable.
    """
    mu, sigma = PEAKS[n_domains]
    x = np.linspace(0, 20, 20_001)
    reward = (x[:, None] * np.exp(-(((x[:, None] - mu) / sigma) ** 2))).sum(axis=1)
    best_up_to = np.maximum.accumulate(reward)  # the least, 10 times one s at most, is below every peak
    most = 10 * s.sum(axis=1)[:, None, None] - s[:, :, None] * (10 - np.arange(11))  # [E, n, 11] with u_i = a
    best = best_up_to[np.floor(most / x[1]).astype(int)]
    return best.max(axis=2, keepdims=True) - best


def play(saved, num_envs=10_000):
    """Greedy play of what a run has saved, in fresh games: s [E, n], spread of Q_i [E, n] and reward [E]."""
    args = saved["args"]
    env = envs.make("gaussian_squeeze", num_envs, seed=123456, **args["gaussian_squeeze"])
    agent = Agent(env, args["hidden_dim"], args["recurrent"])
    agent.load_state_dict(saved["agent"])
    episodes = rollout(env, agent, 0.0, np.random.default_rng(0), "cpu")
    with torch.no_grad():
        q = agent(torch.from_numpy(episodes.obs[:1]))[0][0].numpy()  # [E, n, 11]
    return episodes.state[0], np.ptp(q, axis=2), episodes.reward[0]


def main(models):
    torch.set_num_threads(1)
    for n_domains in PEAKS:
        small = slack(np.random.default_rng(0).uniform(0, 0.2, (100_000, 10)), n_domains) < FLAT
        share, games = small.mean(), small.all(axis=(1, 2)).mean()
        print(f"K = {n_domains}: slack below {FLAT} for {share:.0%} of the actions; for all of a game in {games:.0%}")
    print("\nalgorithm     K  seed   spread of Q_i   return")
    lines = []
    for model in map(Path, models):
        try:
            config, saved = json.loads((model.parent / "config.json").read_text()), torch.load(model)
            assert config["env"] == "gaussian_squeeze"
        except (OSError, AssertionError):
            print(f"squeeze.py: error: {model} must be the model.pt of a run of gaussian_squeeze", file=sys.stderr)
            sys.exit(2)
        n_domains = config["gaussian_squeeze"]["n_domains"]
        s, spread, reward = play(saved)
        flat = (slack(s, n_domains) < FLAT).all(axis=(1, 2))
        label = f"{config['algo']:12} {n_domains:2}  {config['seed']:4}"
        lines.append((n_domains, label, f"{label}   {spread[flat].mean():13.3f}   {reward[flat].mean():6.2f}"))
    for *_, line in sorted(lines):
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
