"""The best that any team can do, computed from the environments themselves: python benchmark/optimum.py

Predator-prey (5x5, 2 predators, 1 prey): value iteration over all 13,800 placements, 100 steps, one policy that sees
everything, random start. Gaussian squeeze: the best reachable x for each of a million draws of s, where with ten agents
every x up to the largest, 10 sum_i s_i, can be had so closely that the difference does not show.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import envs  # noqa: E402


def predator_prey(penalties, grid_size=5, horizon=100):
    """Expected return of the best centralised policy with 2 predators and 1 prey, for each penalty."""
    n_cells = grid_size**2
    cells = np.array([c for c in product(range(n_cells), repeat=3) if len(set(c)) == 3])  # [S, 3], predators first
    index = np.full((n_cells,) * 3, -1)
    index[tuple(cells.T)] = np.arange(len(cells))
    replaced = index[cells[:, 0], cells[:, 1]]  # [S, n_cells]: the prey on every cell ...
    allowed = (replaced >= 0) & (replaced != np.arange(len(cells))[:, None])  # ... that is empty and not its own

    positions = np.stack(np.divmod(cells, grid_size), axis=2)
    after = np.empty((25, 5, len(cells)), int)  # [joint action, prey's action, S] -> state after the movement
    for joint, actions in enumerate(product(range(5), repeat=2)):
        for prey in range(5):
            moved = envs.move(positions, np.tile([*actions, prey], (len(cells), 1)), grid_size)
            after[joint, prey] = index[tuple((moved @ [grid_size, 1]).T)]
    near = envs.hunters(positions, n_predators=2)[:, 0]

    optima = []
    for penalty in penalties:
        value = np.zeros(len(cells))
        for _ in range(horizon):
            replacement = np.where(allowed, value[replaced], 0).sum(axis=1) / allowed.sum(axis=1)
            outcome = np.where(near >= 2, 1 + replacement, value - penalty * (near == 1))  # of each state moved into
            value = outcome[after].mean(axis=1).max(axis=0)
        optima.append(value.mean())
    return optima


def gaussian_squeeze(n_domains, draws=1_000_000):
    """Expected reward of the best joint action for each draw of s, by Monte Carlo."""
    s = np.random.default_rng(0).uniform(0, 0.2, (draws, 10))
    x = np.linspace(0, 20, 20_001)
    mu_sigma = [(8, 0.5), (5, 1)][:n_domains]
    reward = sum(x * np.exp(-((x - mu) ** 2) / sigma**2) for mu, sigma in mu_sigma)
    best_up_to = np.maximum.accumulate(reward)
    return best_up_to[np.floor(10 * s.sum(axis=1) / x[1]).astype(int)].mean()


if __name__ == "__main__":
    for penalty, optimum in zip((0.5, 1.0, 1.5), predator_prey((0.5, 1.0, 1.5))):
        print(f"predator_prey, P = {penalty}: {optimum:.2f}")
    for n_domains in (1, 2):
        print(f"gaussian_squeeze, K = {n_domains}: {gaussian_squeeze(n_domains):.2f}")
