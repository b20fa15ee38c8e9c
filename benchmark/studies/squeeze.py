"""What QTRAN asks for in Gaussian squeeze: python -m benchmark.studies.squeeze [RUN ...], run folders of any script

By (1), (3) and (4) of qtran.py, every joint action u has

    sum_i (max_a Q_i(a) - Q_i(u_i)) = Q'_jt(ubar) - Q'_jt(u) <= Q_jt(ubar) - Q_jt(u)

No summand is negative, and by Theorem 1 Q_jt(ubar) is the best of all. So none of agent i's actions may lie further
below its best one than what the best joint action with it loses against the best of all: its slack. Ten agents make up
for nearly everything that one of them does: in more than half of the games the slack of all actions is nearly 0, and
Q_i that meet the conditions are flat. What is greedy has to be right all the same (4), by margins below the slack, and
Q_jt, V_jt and the Q_i are not learned that exactly.

QTRAN-alt wants more, that min_{u_i} D = 0 whatever the others do. But with flat Q_i D(u) is what u loses, and if the
others are far off agent i cannot put it right, whatever it does. Then not all of the conditions can hold at once.

Printed: in how many games the slack is nearly 0 (flat), and what is lost there on average if an agent gives its best
answer to others who act uniformly; for each run, in flat games and in the others: the spread of Q_i from an agent's
best action to its worst, and what greedy play gets.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import envs
from vdn import Agent, rollout  # the same in all scripts


def squeeze(num_envs, **options):
    return envs.make("gaussian_squeeze", num_envs, 123456, **options)


def pays(x, env):
    """The reward for x [...]."""
    return (x[..., None] * np.exp(-(((x[..., None] - env.mu) / env.sigma) ** 2))).sum(axis=-1)


def best(most, env):
    """The best reward if x can be at most `most` [...]: as in optimum.py, every x up to it counts as reachable."""
    x = np.linspace(0, 20, 20_001)
    return np.maximum.accumulate(pays(x, env))[np.floor(most / x[1]).astype(int)]


def slack(s, env):
    """What the best joint action with u_i = a loses against the best of all: s [E, n] -> [E, n, 11]."""
    most = 10 * s.sum(axis=1)[:, None, None] - s[:, :, None] * (10 - np.arange(11))
    with_a = best(most, env)
    return with_a.max(axis=2, keepdims=True) - with_a


def lost(s, actions, env):
    """What is lost with agent i's best answer to the actions of the others: s, actions [E, n] -> [E, n]."""
    others = (s * actions).sum(axis=1, keepdims=True) - s * actions
    x = others[..., None] + s[..., None] * np.arange(11)  # [E, n, 11]
    return best(10 * s.sum(axis=1), env)[:, None] - pays(x, env).max(axis=2)


def is_flat(s, env):
    """The games, of s [E, n], with a peak in reach and nearly no slack."""
    return (slack(s, env) < 0.01).all(axis=(1, 2)) & (best(10 * s.sum(axis=1), env) > 5)


def play(saved, num_envs=10_000):
    """Greedy play of what a run has saved, in fresh games: s [E, n], spread of Q_i [E, n] and reward [E]."""
    args = saved["args"]
    env = squeeze(num_envs, **args["env_args"])
    agent = Agent(env, args["hidden_dim"], args["recurrent"])
    agent.load_state_dict(saved["agent"])
    episodes = rollout(env, agent, 0.0, np.random.default_rng(0), "cpu")
    with torch.no_grad():
        q = agent(torch.from_numpy(episodes.inputs[:1]))[0][0].numpy()  # [E, n, 11]
    return episodes.state[0], np.ptp(q, axis=2), episodes.reward[0]


def read(folder):
    """Label and weights of a run. Ends with exit code 2 where there is no run of Gaussian squeeze."""
    try:
        config = json.loads((folder / "config.json").read_text())
        saved = torch.load(folder / "model.pt", map_location="cpu")
        if config["env"] != "gaussian_squeeze":
            raise ValueError(f"--env {config['env']}")
        return (config["env_args"].get("n_domains", 1), config["algo"], config["seed"]), saved
    except Exception as error:  # an incomplete file raises almost anything
        print(f"squeeze.py: error: {folder} must be a run of gaussian_squeeze: {error}", file=sys.stderr)
        sys.exit(2)


def main(folders):
    torch.set_num_threads(1)
    runs = [read(Path(folder)) for folder in folders]
    rng = np.random.default_rng(0)
    for n_domains in (1, 2):
        env, s = squeeze(1, n_domains=n_domains), rng.uniform(0, 0.2, (100_000, 10))
        flat, most = is_flat(s, env), best(10 * s.sum(axis=1), env)
        answered = lost(s[flat], rng.integers(11, size=s[flat].shape), env)
        print(
            f"K = {n_domains}: {flat.mean():.0%} of games are flat; lost there by best answers: {answered.mean():.1f}; "
            f"best return {most[flat].mean():.2f}, in the others {most[~flat].mean():.2f}"
        )
    print("\n                       flat games          others")
    print("K  algorithm   seed   spread  return   spread  return")
    for (n_domains, algo, seed), saved in sorted(runs, key=lambda run: run[0]):
        s, spread, reward = play(saved)
        flat = is_flat(s, squeeze(1, n_domains=n_domains))
        cells = [f"{spread[games].mean():6.3f}  {reward[games].mean():6.2f}" for games in (flat, ~flat)]
        print(f"{n_domains}  {algo:10}  {seed:4}   {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
