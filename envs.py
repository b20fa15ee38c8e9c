"""Batched environments for cooperative multi-agent reinforcement learning, in numpy.

One object steps `num_envs` independent copies of a game at once. The four games below, and any class of your own that
the scripts are to train on, follow one small protocol. E = num_envs, N = n_agents; options come from --env-args:

    env = MyEnv(num_envs, seed, **options)
    env.num_envs, env.n_agents, env.n_actions, env.obs_dim, env.state_dim, env.episode_limit     integers
    obs, state = env.reset()                               start a new episode in every copy
    obs, state, reward, terminated = env.step(actions)     one step in every copy; actions int [E, N]
    env.avail_actions                                      bool [E, N, n_actions]: what can be chosen now
    env.render()                                           the first copy as text (optional)
    env.close()                                            at the end of the run (optional)

    obs         [E, N, obs_dim]   what each agent sees; any type of number, which the replay keeps (bool: as bits)
    state       [E, state_dim]    what only a centralised trainer may see
    reward      [E]               one reward for the whole team
    terminated  [E] bool          the game itself has ended

Time limits are the caller's to count: an episode that reaches `episode_limit` steps without `terminated` is truncated,
and learning bootstraps from its last observation. A copy that has terminated is stepped on with the others until the
next `reset()`, and what it returns is ignored. Before, each of its agents has at least one available action. All
randomness comes from one generator made from `seed`.
"""

import inspect
from numbers import Integral, Real

import numpy as np


def check_number(name, value, kind, minimum):
    """Raise ValueError unless the option is a finite number of its kind, Integral or Real, of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, kind) or not minimum <= value < np.inf:
        what = {Integral: "an integer", Real: "a number"}[kind]
        raise ValueError(f"{name} must be {what} of at least {minimum}, got {value!r}")


class MatrixGame:
    """Two agents, three actions, one step, one pay-off matrix (Son et al. 2019, Table 1).

    The best joint action, (0, 0) = 8, shares its row and column with pay-offs of -12, so that an agent whose partner
    explores uniformly is on average better off with any other action. Observation and state are the constant 1.
    """

    payoff = np.array([[8, -12, -12], [-12, 0, 0], [-12, 0, 0]], np.float32)
    n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 3, 1, 1, 1

    def __init__(self, num_envs, seed):
        self.num_envs = num_envs
        self.avail_actions = np.ones((num_envs, self.n_agents, self.n_actions), bool)

    def reset(self):
        return np.ones((self.num_envs, 2, 1), bool), np.ones((self.num_envs, 1), bool)

    def step(self, actions):
        return *self.reset(), self.payoff[actions[:, 0], actions[:, 1]], np.ones(self.num_envs, bool)

    def render(self):
        return str(self.payoff)


class TwoStepGame:
    """Two agents, two actions, two steps (Rashid et al. 2018, section 5).

    In the first step agent 0 alone chooses the matrix of the second: action 0 leads to 2A, where everything pays 7,
    action 1 to 2B, where both agents have to choose action 1 for 8. Observation and state: one-hot of (first step,
    2A, 2B), all zeros when it has ended.
    """

    payoff = np.array([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], np.float32)
    n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 2, 3, 3, 2

    def __init__(self, num_envs, seed):
        self.num_envs = num_envs
        self.avail_actions = np.ones((num_envs, self.n_agents, self.n_actions), bool)
        self.reset()

    def reset(self):
        self.stage = np.zeros(self.num_envs, int)  # 0: first step, 1: in 2A, 2: in 2B, 3: ended
        return self._observe()

    def step(self, actions):
        first, ended = self.stage == 0, self.stage == 3
        payoff = self.payoff[np.clip(self.stage - 1, 0, 1), actions[:, 0], actions[:, 1]]
        reward = np.where(first | ended, np.float32(0), payoff)
        self.stage = np.where(first, 1 + actions[:, 0], 3)
        return *self._observe(), reward, self.stage == 3

    def _observe(self):
        state = self.stage[:, None] == np.arange(3)
        return np.repeat(state[:, None], 2, axis=1), state

    def render(self):
        return ("step 1", "step 2, matrix 2A", "step 2, matrix 2B", "ended")[self.stage[0]]


class GaussianSqueeze:
    """n agents choose amounts u_i in 0..10 whose weighted sum should hit a target, one step (Son et al. 2019, 5.2).

    s_i ~ U(0, 0.2) is drawn at every reset, x = sum_i s_i u_i, reward = sum_k x exp(-(x - mu_k)^2 / sigma_k^2) with
    (mu, sigma) = (8, 0.5) and, for two domains, (5, 1) as well. The state is s. Options:

    n_agents     number of agents
    n_domains    number of reward peaks, the paper's K: 1, or 2 (multi-domain), whose lower second peak is the pitfall
    observation  what an agent sees: full, every agent's s_j, as in the authors' code, or own, its own s_i only
    """

    n_actions, episode_limit = 11, 1

    def __init__(self, num_envs, seed, n_agents=10, n_domains=1, observation="full"):
        check_number("n_agents", n_agents, Integral, 1)
        if str(n_domains) not in ("1", "2"):
            raise ValueError(f"n_domains must be 1 or 2, got {n_domains!r}")
        if observation not in ("full", "own"):
            raise ValueError(f"observation must be full or own, got {observation!r}")
        self.num_envs, self.n_agents, self.state_dim = num_envs, n_agents, n_agents
        self.full = observation == "full"
        self.obs_dim = n_agents if self.full else 1
        self.mu = np.array([8.0, 5.0])[:n_domains]
        self.sigma = np.array([0.5, 1.0])[:n_domains]
        self.avail_actions = np.ones((num_envs, self.n_agents, self.n_actions), bool)
        self.rng = np.random.default_rng(seed)
        self.reset()

    def reset(self):
        self.s = self.rng.uniform(0, 0.2, (self.num_envs, self.n_agents)).astype(np.float32)
        return self._observe()

    def step(self, actions):
        x = (self.s * actions).sum(axis=1, keepdims=True, dtype=float)
        reward = (x * np.exp(-(((x - self.mu) / self.sigma) ** 2))).sum(axis=1)
        return *self._observe(), reward.astype(np.float32), np.ones(self.num_envs, bool)

    def _observe(self):
        obs = np.repeat(self.s[:, None], self.n_agents, axis=1) if self.full else self.s[:, :, None]
        return obs, self.s

    def render(self):
        return "s = " + " ".join(f"{s:.3f}" for s in self.s[0])


MOVES = np.array([[-1, 0], [0, -1], [0, 0], [0, 1], [1, 0]])  # up, left, stay, right, down as (row, col)


def move(positions, actions, grid_size):
    """Where everyone stands after one step of predator-prey's movement, as the authors' environment resolves it.

    positions [E, n, 2] int (row, col) from 0, no two of a copy alike; actions [E, n] int; returns positions [E, n, 2].

    The rule is sequential: entities take their turn in order, and one whose wanted cell is held by another that has
    not had its turn lets that one go first, and so on down the chain; then each of the chain moves if its cell is
    empty, else stays. So a chain moves as a whole or not at all: it moves if its last member finds a free cell. It
    fails at a wall, at one that stays, at itself (swaps, cycles), and where another chain came before it. That depends
    only on who waits for whom and who is asked first, and is worked out below for all copies at once.
    """
    n = positions.shape[1]
    wanted = np.clip(positions + MOVES[actions], 0, grid_size - 1)  # a wall leaves one wanting its own cell
    # Cells as numbers [n, E]: with the copies last, every line below runs along contiguous memory.
    here = np.ascontiguousarray((positions @ [grid_size, 1]).T)
    there = np.ascontiguousarray((wanted @ [grid_size, 1]).T)
    waits = there[:, None] == here  # [i, j, E]: i wants the cell that j holds (i = j: i stays)

    # asked [n, E]: the turn in which j is asked to move, its own or that of the first one waiting for it down a chain.
    asked = np.broadcast_to(np.arange(n)[:, None], here.shape)
    while True:
        earlier = np.minimum(asked, np.where(waits, asked[:, None], n).min(axis=0))
        if (earlier == asked).all():
            break
        asked = earlier
    rivals = there[:, None] == there
    wins = ~(rivals & (asked < asked[:, None])).any(axis=1)  # the first one asked gets the cell

    can_move = free = wins & ~waits.any(axis=1)
    while True:  # a cell that is left is free for the one who won it; those in a cycle never start
        more = free | (wins & (waits & can_move).any(axis=1))
        if (more == can_move).all():
            return np.where(can_move.T[:, :, None], wanted, positions)
        can_move = more


def hunters(positions, n_predators):
    """Number of predators in the four cells next to each prey: positions [E, n, 2], predators first -> [E, n_prey]."""
    predators, prey = positions[:, :n_predators, None], positions[:, None, n_predators:]
    distance = np.abs(predators - prey)  # [E, n_predators, n_prey, 2]
    return (distance[..., 0] + distance[..., 1] == 1).sum(axis=1)


class PredatorPrey:
    """Modified predator-prey: attacking together is rewarded, attacking alone punished (Son et al. 2019, section 5.3).

    Predators and prey move on a grid as `move` says, the prey uniformly at random over the same five actions. After
    everyone has moved, each prey with two or more predators next to it pays +1 and is put on a random empty cell other
    than its own; one with exactly one predator next to it pays -penalty. Episodes are truncated after 100 steps.

    obs, bool: the window around the agent, (2 view + 1)^2 cells in the planes predators and prey, then its own row and
    column one-hot. Or, float32: of each entity, predators first, its row and column less the agent's own, then the
    agent's own less half the grid, all in grid sizes. state, bool: every entity's cell one-hot. Options:

    penalty      P, what the team loses for every prey that one predator attacks alone; the paper has 0.5, 1.0 and 1.5
    grid_size    rows and columns of the grid
    n_predators  number of predators, the agents
    n_prey       number of prey
    view         cells an agent sees in each direction: 2 is the paper's 5x5 window; by default the entire grid
    observation  what an agent sees: planes, or coordinates, as in the authors' code; these have no view
    """

    n_actions, episode_limit = 5, 100

    def __init__(
        self, num_envs, seed, penalty=0.5, grid_size=5, n_predators=2, n_prey=1, view=None, observation="planes"
    ):
        check_number("penalty", penalty, Real, 0)
        check_number("grid_size", grid_size, Integral, 2)
        check_number("n_predators", n_predators, Integral, 1)
        check_number("n_prey", n_prey, Integral, 1)
        if observation not in ("planes", "coordinates"):
            raise ValueError(f"observation must be planes or coordinates, got {observation!r}")
        if observation == "coordinates" and view is not None:
            raise ValueError(f"view must be left out with observation coordinates, got {view}")
        view = grid_size - 1 if view is None else view
        check_number("view", view, Integral, 1)
        self.n_entities, self.n_cells = n_predators + n_prey, grid_size**2
        if self.n_entities > self.n_cells:
            raise ValueError(f"n_predators + n_prey must be at most {self.n_cells} cells, got {self.n_entities}")
        self.num_envs, self.n_agents = num_envs, n_predators
        self.penalty, self.grid_size, self.view = penalty, grid_size, view
        self.avail_actions = np.ones((num_envs, self.n_agents, self.n_actions), bool)
        self.rng = np.random.default_rng(seed)

        # What an agent sees of an empty grid from each cell: only where it is itself [n_cells, obs_dim].
        width, place = 2 * self.view + 1, np.eye(self.grid_size, dtype=bool)
        row, col = np.divmod(np.arange(self.n_cells), self.grid_size)
        planes = np.zeros((self.n_cells, 2 * width**2), bool)
        self.empty_view = np.hstack([planes, place[row], place[col]])
        # Where entity j at (row, col) of the window stands in the observation: plane[j] + row * width + col.
        self.plane = np.where(np.arange(self.n_entities) < self.n_agents, 0, width**2)
        self.cell_one_hot = np.eye(self.n_cells, dtype=bool)
        self.obs_dim, self.state_dim = self.empty_view.shape[1], self.n_entities * self.n_cells
        self.coordinates = observation == "coordinates"
        if self.coordinates:
            self.obs_dim = 2 * self.n_entities + 2
        self.reset()

    def reset(self):
        order = self.rng.random((self.num_envs, self.n_cells)).argsort(axis=1)
        cells = order[:, : self.n_entities]
        self.positions = np.stack(np.divmod(cells, self.grid_size), axis=2)  # [E, n_entities, 2], predators first
        return self._observe()

    def step(self, actions):
        prey_actions = self.rng.integers(self.n_actions, size=(self.num_envs, self.n_entities - self.n_agents))
        self.positions = move(self.positions, np.hstack([actions, prey_actions]), self.grid_size)
        near = hunters(self.positions, self.n_agents)  # [E, n_prey]
        reward = (near >= 2).sum(axis=1) - self.penalty * (near == 1).sum(axis=1)
        caught = near >= 2
        for prey in np.flatnonzero(caught.any(axis=0)):  # most steps catch none
            self._replace(np.flatnonzero(caught[:, prey]), self.n_agents + prey)
        return *self._observe(), reward.astype(np.float32), np.zeros(self.num_envs, bool)

    def _replace(self, copies, entity):
        """Put `entity` of these copies on an empty cell, all equally likely; on a full grid it stays."""
        cells = self.positions[copies] @ [self.grid_size, 1]  # [len(copies), n_entities]
        draw = self.rng.random((len(copies), self.n_cells))
        np.put_along_axis(draw, cells, -2, axis=1)
        np.put_along_axis(draw, cells[:, [entity]], -1, axis=1)
        self.positions[copies, entity] = np.stack(np.divmod(draw.argmax(axis=1), self.grid_size), axis=1)

    def _observe(self):
        cells, width = self.positions @ [self.grid_size, 1], 2 * self.view + 1
        state = self.cell_one_hot[cells].reshape(self.num_envs, self.state_dim)
        if self.coordinates:
            position = (self.positions / self.grid_size).astype(np.float32)  # [E, n_entities, 2]
            own = position[:, : self.n_agents]  # [E, N, 2]
            offset = position[:, None] - own[:, :, None]  # [E, N, n_entities, 2]
            return np.concatenate([offset.reshape(*own.shape[:2], -1), own - 0.5], axis=2), state
        obs = self.empty_view[cells[:, : self.n_agents]]
        offset = self.positions[:, None] - self.positions[:, : self.n_agents, None] + self.view  # [E, N, n_entities, 2]
        row, col = offset[..., 0], offset[..., 1]
        seen = np.nonzero((row >= 0) & (row < width) & (col >= 0) & (col < width))
        copy, agent, entity = seen
        obs[copy, agent, self.plane[entity] + row[seen] * width + col[seen]] = True
        return obs, state

    def render(self):
        """The first copy's grid: digits are predators (agent 0, 1, ...), letters prey, dots empty cells."""
        grid = np.full((self.grid_size, self.grid_size), ".")
        for entity, (row, col) in enumerate(self.positions[0]):
            prey = entity - self.n_agents
            grid[row, col] = "abcdefghijklmnopqrstuvwxyz"[prey % 26] if prey >= 0 else str(entity % 10)
        return "\n".join(" ".join(cells) for cells in grid)


ENVS = dict(
    matrix_game=MatrixGame, two_step_game=TwoStepGame, gaussian_squeeze=GaussianSqueeze, predator_prey=PredatorPrey
)


class InvalidEnv(ValueError):
    """An environment that cannot be made, or does not keep to the protocol above. The message is fit for a user."""


def make(name, num_envs, seed, /, **options):
    """Build an environment by its name: one of `ENVS`, or one with a colon, see other_envs.py.

    Raises InvalidEnv for an unknown name or option, or a value that cannot work. Errors inside others' code pass.
    """
    if ":" in name:
        try:
            import other_envs  # not needed for our own games
        except ModuleNotFoundError:
            raise InvalidEnv(f"environment {name} needs other_envs.py beside envs.py") from None
        return other_envs.make(name, num_envs, seed, **options)
    if name not in ENVS:
        others = "pettingzoo:MODULE, gymnasium:MODULE:ID, or module:Class"
        raise InvalidEnv(f"environment must be one of {', '.join(ENVS)}, {others}, got {name!r}")
    allowed = options_of(name)
    for key in options:
        if key not in allowed:
            raise InvalidEnv(f"{name} has no option {key!r}, it has: {', '.join(allowed) or 'none'}")
    try:
        return ENVS[name](num_envs, seed, **options)
    except ValueError as error:
        raise InvalidEnv(f"{name}: {error}") from None


def options_of(name):
    """{option: default} of one of our games; empty for any other environment."""
    parameters = inspect.signature(ENVS[name]).parameters if name in ENVS else {}
    return {key: parameters[key].default for key in parameters if key not in ("num_envs", "seed")}


def check(env):
    """Let an environment that is not ours fail before a run begins, in random play."""
    if hasattr(env, "check"):
        env.check()


def close(env):
    if hasattr(env, "close"):
        env.close()
