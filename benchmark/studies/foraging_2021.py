"""Level-based foraging 10x10-3p-3f as it was when results for it were published (Papoudakis et al. 2021), and how much
of its return takes how many players: python -m benchmark.studies.foraging_2021

Players have levels of 1 or 2, drawn uniformly, and load a food together if their levels add up to its own. Until commit
01ddb39 of lb-foraging (2023) a food's level was drawn from 1 to the sum of the players' levels less 1; since then, and
so in version 2.0.0, from 1 to that sum. A food pays its share of the levels of all three.

    python vdn.py --env gymnasium:benchmark.studies.foraging_2021:Foraging2021-10x10-3p-3f-v1
"""

from itertools import product

import gymnasium
import lbforaging  # noqa: F401 (registers today's version)
import numpy as np
from lbforaging.foraging.environment import ForagingEnv

TODAY = "Foraging-10x10-3p-3f-v3"
N_PLAYERS = N_FOOD = 3


class Foraging2021(ForagingEnv):
    def spawn_food(self, max_num_food, min_levels, max_levels):
        super().spawn_food(max_num_food, min_levels, max_levels - 1)


gymnasium.register(
    "Foraging2021-10x10-3p-3f-v1",
    "benchmark.studies.foraging_2021:Foraging2021",
    kwargs=gymnasium.spec(TODAY).kwargs,
    disable_env_checker=True,
)


def shares(below_sum):
    """The expected share of the return that takes 1, 2 and 3 players at the least: [3], by enumeration.

    below_sum: how far the highest level of a food is below the sum of the players' levels.
    """
    of_teams = []
    for players in product([1, 2], repeat=N_PLAYERS):
        strongest = np.cumsum(sorted(players, reverse=True))  # [3]: what one, two and three players can load at most
        levels = range(1, strongest[-1] - below_sum + 1)
        food = np.array([*product(levels, repeat=N_FOOD)])  # [(number of levels)^3, 3]
        needed = np.searchsorted(strongest, food)  # [.., 3]: 0 where one player is enough
        paid = food / food.sum(axis=1, keepdims=True)
        of_teams.append([(paid * (needed == k)).sum(axis=1).mean() for k in range(N_PLAYERS)])
    return np.mean(of_teams, axis=0)


def main():
    for name, below_sum in (("today", 0), ("2021", 1)):
        one, two, three = shares(below_sum)
        print(f"share of the return that takes one player: {one:.3f}, two: {two:.3f}, all three: {three:.3f} ({name})")


if __name__ == "__main__":
    main()
