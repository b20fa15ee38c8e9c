"""The best that any team can do, and what random play gets, from the environments: python -m benchmark.studies.optimum

Predator-prey (5x5, 2 predators, 1 prey): value iteration over all 13,800 placements, 100 steps, one policy that sees
everything, random start. Gaussian squeeze: the best reachable x for each of a million draws of s, where with ten agents
every x up to the largest, 10 sum_i s_i, can be had so closely that the difference does not show. Random play: by Monte
Carlo in all of them.
"""

from itertools import product

import numpy as np

import envs


def predator_prey_game(grid_size=5):
    """The states with 2 predators and 1 prey, by their cells [n_cells] * 3, and what their values are made of."""
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

    def backup(value, penalty, discount=1.0):
        """Values [S] of the states one step later -> of each joint action in each state now [25, S]."""
        replacement = np.where(allowed, value[replaced], 0).sum(axis=1) / allowed.sum(axis=1)
        outcome = np.where(near >= 2, 1 + discount * replacement, discount * value - penalty * (near == 1))
        return outcome[after].mean(axis=1)

    return index, backup


def discounted_values(backup, n_states, penalty, discount):
    """The value of each joint action in each state [25, S], for discounted rewards without end."""
    q = np.zeros((1, n_states))
    for _ in range(round(7 / (1 - discount))):  # what is left out is discounted to a thousandth
        q = backup(q.max(axis=0), penalty, discount)
    return q


def predator_prey(penalties, discount=None, horizon=100):
    """Expected return of the best centralised policy, for each penalty.

    With a discount, of the policy that is best for discounted rewards without end; its return itself is not discounted.
    """
    index, backup = predator_prey_game()
    n_states, optima = index.max() + 1, []
    for penalty in penalties:
        if discount:
            policy = discounted_values(backup, n_states, penalty, discount).argmax(axis=0)
        value = np.zeros(n_states)
        for _ in range(horizon):
            q = backup(value, penalty)
            value = np.take_along_axis(q, policy[None], axis=0)[0] if discount else q.max(axis=0)
        optima.append(value.mean())
    return optima


def two_pairs(penalties, size=7, num_envs=2000):
    """Mean return, 4 predators and 2 prey on 7x7, where each pair hunts a prey of its own.

    No optimum, but what a policy found by other means gets: a pair does what is best for 2 predators and 1 prey, less
    the penalty that it has to expect from the other prey in this step.
    """
    index, backup = predator_prey_game(size)
    cells = np.stack(np.divmod(np.arange(size**2), size), axis=1)  # [n_cells, 2]
    reached = np.clip(cells[:, None] + envs.MOVES, 0, size - 1) @ [size, 1]  # [n_cells, 5]: after each action
    near = np.abs(cells[:, None] - cells).sum(axis=2) == 1  # [n_cells, n_cells]
    touches = near[:, reached].mean(axis=2)[reached]  # [n_cells, 5, n_cells]: probability, predator's action, prey
    returns = []
    for penalty in penalties:
        q = discounted_values(backup, index.max() + 1, penalty, 0.9)  # [25, S]
        env = envs.make("predator_prey", num_envs, 0, penalty=penalty, n_predators=4, n_prey=2, grid_size=size)
        total = 0
        for _ in range(env.episode_limit):
            *hunters, prey, other = (env.positions @ [size, 1]).T  # [E] each
            actions = []
            for (a, b), own, spared in ((hunters[:2], prey, other), (hunters[2:], other, prey)):
                risk = touches[a, :, spared][:, :, None] + touches[b, :, spared][:, None]  # [E, 5, 5]
                best = (q[:, index[a, b, own]].T - penalty * risk.reshape(-1, 25)).argmax(axis=1)
                actions += divmod(best, 5)
            total += env.step(np.stack(actions, axis=1))[2].mean(dtype=float)
        returns.append(total)
    return returns


def gaussian_squeeze(n_domains, draws=1_000_000):
    """Expected reward of the best joint action for each draw of s, by Monte Carlo."""
    s = np.random.default_rng(0).uniform(0, 0.2, (draws, 10))
    x = np.linspace(0, 20, 20_001)
    mu_sigma = [(8, 0.5), (5, 1)][:n_domains]
    reward = sum(x * np.exp(-((x - mu) ** 2) / sigma**2) for mu, sigma in mu_sigma)
    best_up_to = np.maximum.accumulate(reward)
    return best_up_to[np.floor(10 * s.sum(axis=1) / x[1]).astype(int)].mean()


def random_play(name, num_envs=10_000, **options):
    """Mean return of uniform random actions, where all episodes have the same length."""
    env, rng = envs.make(name, num_envs, 0, **options), np.random.default_rng(1)
    env.reset()
    actions = rng.integers(env.n_actions, size=(env.episode_limit, num_envs, env.n_agents))
    return sum(env.step(chosen)[2].mean(dtype=float) for chosen in actions)


if __name__ == "__main__":
    penalties = (0.5, 1.0, 1.5)
    for penalty, optimum, discounted in zip(penalties, predator_prey(penalties), predator_prey(penalties, 0.9)):
        random = random_play("predator_prey", penalty=penalty)
        print(
            f"predator_prey, P = {penalty}: {optimum:.2f}; best for discount 0.9: {discounted:.2f}; random {random:.2f}"
        )
    for penalty, pairs in zip(penalties, two_pairs(penalties)):
        random = random_play("predator_prey", penalty=penalty, n_predators=4, n_prey=2, grid_size=7)
        print(f"predator_prey, 4 predators, 2 prey, 7x7, P = {penalty}: two pairs {pairs:.2f}; random {random:.2f}")
    for n_domains in (1, 2):
        random = random_play("gaussian_squeeze", 1_000_000, n_domains=n_domains)
        print(f"gaussian_squeeze, K = {n_domains}: {gaussian_squeeze(n_domains):.2f}; random {random:.2f}")
    for name in ("matrix_game", "two_step_game"):
        print(f"{name}: random {random_play(name, 1_000_000):.2f}")
