"""The environments against recordings of the original, its rules entity by entity, and closed forms."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import envs

RECORDINGS = sorted((Path(__file__).parent / "data").glob("predator_prey_*.npz"))
UP, LEFT, STAY, RIGHT, DOWN = range(5)


def chi_square(counts):
    """How far the counts are from equal ones."""
    expected = np.mean(counts)
    return ((counts - expected) ** 2 / expected).sum()


# --- predator-prey: movement ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_transitions(recording):
    """4000 steps of the original, prey's actions included; where captured prey are put is random."""
    data = np.load(recording)
    grid_size, n_predators, n_prey = (int(data[name]) for name in ("grid", "n_predators", "n_prey"))
    sizes = dict(grid_size=grid_size, n_predators=n_predators, n_prey=n_prey)
    env = envs.make("predator_prey", 4000, 0, penalty=float(data["penalty"]), **sizes)
    env.positions = data["before"].astype(int)
    env.rng = SimpleNamespace(integers=lambda n, size: data["actions"][:, n_predators:], random=env.rng.random)
    _, _, reward, _ = env.step(data["actions"][:, :n_predators])
    np.testing.assert_array_equal(reward, data["reward"])
    captured = np.hstack([np.zeros((4000, n_predators), bool), data["captured"]])
    np.testing.assert_array_equal(env.positions[~captured], data["moved"][~captured])
    assert captured.sum() > 100 and (env.positions[captured] != data["moved"][captured]).any(axis=1).all()


def literal_move(positions, actions, grid_size):
    """The original's movement rule entity by entity, recursion and all, for one copy."""
    positions = [tuple(p) for p in positions.tolist()]
    moved, waiting = set(), []

    def take_turn(i):
        waiting.append(i)
        row, col = np.add(positions[i], envs.MOVES[actions[i]]).tolist()
        if 0 <= row < grid_size and 0 <= col < grid_size:
            if (row, col) in positions:
                holder = positions.index((row, col))
                if holder not in moved and holder not in waiting:
                    take_turn(holder)
            if (row, col) not in positions:
                positions[i] = row, col
        waiting.remove(i)
        moved.add(i)

    for i in range(len(positions)):
        if i not in moved:
            take_turn(i)
    return np.array(positions)


@pytest.mark.parametrize("grid_size, n", [(2, 3), (2, 4), (3, 5), (3, 8), (4, 10), (5, 20), (7, 6), (9, 40), (15, 90)])
def test_move_equals_the_literal_rule_in_crowds(grid_size, n):
    rng = np.random.default_rng(grid_size)
    cells = rng.random((300, grid_size**2)).argsort(axis=1)[:, :n]
    positions, actions = np.stack(np.divmod(cells, grid_size), axis=2), rng.integers(5, size=(300, n))
    expected = np.array([literal_move(p, a, grid_size) for p, a in zip(positions, actions)])
    np.testing.assert_array_equal(envs.move(positions, actions, grid_size), expected)


@pytest.mark.parametrize(
    "before, actions, after",
    [
        pytest.param([(0, 0), (3, 3)], [UP, DOWN], [(0, 0), (3, 3)], id="walls"),
        pytest.param([(0, 0), (0, 1)], [RIGHT, LEFT], [(0, 0), (0, 1)], id="swap blocks"),
        pytest.param(
            [(0, 0), (0, 1), (1, 1), (1, 0)],
            [RIGHT, DOWN, LEFT, UP],
            [(0, 0), (0, 1), (1, 1), (1, 0)],
            id="cycle blocks",
        ),
        pytest.param([(0, 0), (0, 1), (0, 2)], [RIGHT] * 3, [(0, 1), (0, 2), (0, 3)], id="queue moves"),
        pytest.param([(0, 1), (0, 2), (0, 3)], [RIGHT] * 3, [(0, 1), (0, 2), (0, 3)], id="queue stops at a wall"),
        pytest.param([(0, 0), (0, 2)], [RIGHT, LEFT], [(0, 1), (0, 2)], id="the first in order gets the cell"),
        pytest.param(
            [(1, 0), (0, 2), (1, 1)],
            [RIGHT, DOWN, RIGHT],
            [(1, 1), (0, 2), (1, 2)],
            id="a chain goes before a lower index",
        ),
    ],
)
def test_move_by_hand(before, actions, after):
    moved = envs.move(np.array([before]), np.array([actions]), grid_size=4)
    assert [tuple(p) for p in moved[0].tolist()] == after


# --- predator-prey: attacks, replacement, chance --------------------------------------------------------------------


def surrounded(predators, prey, num_envs=200, **options):
    """Predators that stay at these cells for a step, prey at those; the reward of each copy and where the prey is."""
    env = envs.make("predator_prey", num_envs, 0, n_predators=len(predators), n_prey=len(prey), **options)
    env.positions = np.tile([*predators, *prey], (num_envs, 1, 1))
    _, _, reward, terminated = env.step(np.full((num_envs, len(predators)), STAY))
    assert not terminated.any()
    return reward, env.positions[:, len(predators) :] @ [env.grid_size, 1]


@pytest.mark.parametrize("prey, n_hunters", [((0, 0), 2), ((0, 2), 3), ((2, 2), 4)])
def test_two_hunters_or_more_capture_once(prey, n_hunters):
    """At a corner, an edge and in the middle, where no place is left to flee to."""
    around = [tuple(cell) for cell in (np.array(prey) + [(-1, 0), (0, -1), (0, 1), (1, 0)]).tolist()]
    around = [cell for cell in around if min(cell) >= 0]
    assert len(around) == n_hunters
    reward, cells = surrounded(around, [prey])
    assert (reward == 1).all() and (cells != 5 * prey[0] + prey[1]).all()


def test_hunters_are_on_the_four_neighbouring_cells():
    positions = np.array([[(1, 1), (3, 1), (2, 2), (2, 1), (0, 0)], [(0, 0), (4, 4), (4, 3), (2, 2), (0, 1)]])
    assert envs.hunters(positions, n_predators=3).tolist() == [[3, 0], [0, 1]]


def test_lone_attack_is_punished_and_the_prey_stays():
    reward, cells = surrounded([(0, 1), (4, 4)], [(0, 0)], penalty=1.5)
    assert set(cells[:, 0]) == {0, 5}  # where it was, or one down, out of reach
    np.testing.assert_array_equal(reward, np.where(cells[:, 0] == 0, -1.5, 0))


def test_replacement_is_uniform_over_the_empty_cells():
    reward, cells = surrounded([(0, 1), (1, 0)], [(0, 0)], num_envs=22_000)
    assert (reward == 1).all()
    counts = np.bincount(cells[:, 0], minlength=25)
    assert (counts[[0, 1, 5]] == 0).all()  # its old cell and the two that are taken
    assert chi_square(np.delete(counts, [0, 1, 5])) < 46.8  # 99.9 % quantile with 21 degrees of freedom


def test_second_prey_may_take_the_place_of_the_first_but_not_its_own():
    reward, cells = surrounded([(0, 1), (1, 0), (1, 2), (2, 1)], [(0, 0), (2, 2)], num_envs=5000, grid_size=3)
    assert (reward == 2).all() and (cells[:, 0] != cells[:, 1]).all()
    assert set(cells[:, 0]) == {2, 4, 6} and set(cells[:, 1]) == {0, 2, 4, 6}


def test_full_grid_has_nowhere_to_go():
    reward, cells = surrounded([(0, 0), (0, 1), (1, 0)], [(1, 1)], grid_size=2)
    assert (reward == 1).all() and (cells == 3).all()


def test_copies_are_independent():
    """Each starts anywhere, anew in every episode, and its prey take a step of their own."""
    env = envs.make("predator_prey", 10_000, 0)
    first, _ = env.reset()
    second, _ = env.reset()
    assert (first != second).any(axis=(1, 2)).mean() > 0.99
    for cells in (env.positions @ [5, 1]).T:
        assert chi_square(np.bincount(cells, minlength=25)) < 51.2  # 99.9 % quantile with 24 degrees of freedom
    _, cells = surrounded([(0, 0), (4, 4)], [(2, 2)], num_envs=10_000)
    assert set(cells[:, 0]) == {7, 11, 12, 13, 17}
    assert chi_square(np.unique(cells, return_counts=True)[1]) < 18.5  # 99.9 % quantile with 4 degrees of freedom


def test_nobody_shares_a_cell():
    env = envs.make("predator_prey", 200, 3, n_predators=4, n_prey=2, grid_size=4)
    rng, captures = np.random.default_rng(0), 0
    for _ in range(50):
        _, _, reward, _ = env.step(rng.integers(5, size=(200, 4)))
        assert all(len(set(copy)) == 6 for copy in (env.positions @ [4, 1]).tolist())
        captures += (reward > 0).sum()
    assert captures > 100


def test_random_play_scores_what_the_original_does():
    env = envs.make("predator_prey", 2000, 0)
    rng = np.random.default_rng(1)
    score = sum(env.step(rng.integers(5, size=(2000, 2)))[2] for _ in range(env.episode_limit))
    assert abs(score.mean() - -11.4) < 0.5


@pytest.mark.parametrize("view", [1, 2, 6, None])
def test_predator_prey_observation_and_state(view):
    env = envs.make("predator_prey", 30, 5, n_predators=3, n_prey=2, view=view)
    obs, state = env.reset()
    view = 4 if view is None else view  # sees all of 5x5 from everywhere
    width = 2 * view + 1
    assert obs.dtype == state.dtype == bool
    assert obs.shape == (30, 3, 2 * width**2 + 10) and state.shape == (30, 5 * 25)
    for copy in range(30):
        stand = [tuple(p) for p in env.positions[copy].tolist()]
        for agent in range(3):
            windows, row, col = np.split(obs[copy, agent], [2 * width**2, 2 * width**2 + 5])
            planes = windows.reshape(2, width, width)
            for r in range(width):
                for c in range(width):
                    cell = stand[agent][0] + r - view, stand[agent][1] + c - view
                    assert planes[:, r, c].tolist() == [cell in stand[:3], cell in stand[3:]]
            assert (row.argmax(), col.argmax()) == stand[agent] and row.sum() == col.sum() == 1
        cells = state[copy].reshape(5, 25)
        assert (cells.sum(axis=1) == 1).all()
        assert [divmod(int(cell), 5) for cell in cells.argmax(axis=1)] == stand


def test_predator_prey_coordinates():
    """As in the authors' code, by hand: (p - p_own) / size for everybody, then p_own / size - 1/2."""
    env = envs.make("predator_prey", 2, 5, n_predators=2, n_prey=1, observation="coordinates")
    env.positions = np.array([[[0, 1], [3, 4], [2, 2]], [[4, 0], [4, 4], [0, 3]]])
    obs, state = env._observe()
    assert obs.dtype == np.float32 and obs.shape == (2, 2, env.obs_dim) == (2, 2, 8)
    by_hand = [
        [[0, 0, 0.6, 0.6, 0.4, 0.2, -0.5, -0.3], [-0.6, -0.6, 0, 0, -0.2, -0.4, 0.1, 0.3]],
        [[0, 0, 0, 0.8, -0.8, 0.6, 0.3, -0.5], [0, -0.8, 0, 0, -0.8, -0.2, 0.3, 0.3]],
    ]
    np.testing.assert_allclose(obs, by_hand, atol=1e-6)
    assert state.dtype == bool and [np.flatnonzero(s).tolist() for s in state] == [[1, 44, 62], [20, 49, 53]]


def test_observations_change_nothing_else():
    """The same seed and actions give the same game, whatever agents see of it."""
    games = [envs.make("predator_prey", 20, 3, observation=observation) for observation in ("planes", "coordinates")]
    rng = np.random.default_rng(0)
    for _ in range(100):
        actions = rng.integers(5, size=(20, 2))
        (_, state, reward, _), (_, other_state, other_reward, _) = (env.step(actions) for env in games)
        np.testing.assert_array_equal(state, other_state)
        np.testing.assert_array_equal(reward, other_reward)


def test_render_shows_the_first_copy():
    env = envs.make("predator_prey", 2, 0)
    env.positions[0] = [(0, 0), (4, 4), (1, 3)]
    assert env.render() == "0 . . . .\n. . . a .\n. . . . .\n. . . . .\n. . . . 1"


# --- the other games ------------------------------------------------------------------------------------------------


def test_matrix_game():
    env = envs.make("matrix_game", 9, 0)
    env.reset()
    _, _, reward, terminated = env.step(np.array([(i, j) for i in range(3) for j in range(3)]))
    assert reward.tolist() == [8, -12, -12, -12, 0, 0, -12, 0, 0] and terminated.all()


def test_two_step_game():
    env = envs.make("two_step_game", 5, 0)
    obs, state = env.reset()
    assert obs.tolist() == [[[1, 0, 0]] * 2] * 5 and state.tolist() == [[1, 0, 0]] * 5
    obs, state, reward, terminated = env.step(np.array([(0, 1), (1, 0), (1, 0), (1, 1), (1, 1)]))
    assert state.tolist() == [[0, 1, 0]] + [[0, 0, 1]] * 4 and (obs == state[:, None]).all()
    assert not reward.any() and not terminated.any()
    _, state, reward, terminated = env.step(np.array([(1, 0), (0, 0), (0, 1), (1, 0), (1, 1)]))
    assert reward.tolist() == [7, 0, 1, 1, 8] and terminated.all() and not state.any()


@pytest.mark.parametrize("n_domains, random_play", [(1, 0.28), (2, 2.40)])
def test_gaussian_squeeze(n_domains, random_play):
    env = envs.make("gaussian_squeeze", 200_000, 0, n_domains=n_domains)
    _, s = env.reset()
    assert s.min() >= 0 and s.max() <= 0.2
    np.testing.assert_allclose(s.mean(axis=0), 0.1, atol=1e-3)  # every copy has draws of its own
    actions = np.random.default_rng(0).integers(11, size=(200_000, 10))
    _, _, reward, terminated = env.step(actions)
    assert abs(reward.mean() - random_play) < 0.02 and terminated.all()
    env.s[:] = 0.1
    for total, expected in {
        80: 8 + (n_domains - 1) * 8 * np.exp(-9),
        50: 5 * np.exp(-36) + (n_domains - 1) * 5,
    }.items():
        actions[:] = total / 10
        np.testing.assert_allclose(env.step(actions)[2], expected, rtol=1e-4)  # x = 8 and x = 5, the two peaks


def test_gaussian_squeeze_observations():
    full, s = envs.make("gaussian_squeeze", 3, 0).reset()
    own, _ = envs.make("gaussian_squeeze", 3, 0, observation="own").reset()
    for agent in range(10):
        np.testing.assert_array_equal(full[:, agent], s)
        np.testing.assert_array_equal(own[:, agent, 0], s[:, agent])


# --- protocol -------------------------------------------------------------------------------------------------------


class MyPredatorPrey(envs.PredatorPrey):
    pass


@pytest.mark.parametrize(
    "name, options",
    [
        *((name, {}) for name in [*envs.ENVS, f"{__name__}:MyPredatorPrey"]),
        ("predator_prey", {"observation": "coordinates"}),
    ],
)
def test_protocol(name, options):
    """What `envs` promises of every environment, a class of one's own among them."""

    def play(seed):
        env = envs.make(name, 7, seed, **options)
        rng, seen = np.random.default_rng(0), []
        for _ in range(2):
            obs, state = env.reset()
            for _ in range(min(env.episode_limit, 5)):
                assert env.avail_actions.shape == (7, env.n_agents, env.n_actions) and env.avail_actions.dtype == bool
                obs, state, reward, terminated = env.step(rng.integers(env.n_actions, size=(7, env.n_agents)))
                assert obs.shape == (7, env.n_agents, env.obs_dim) and state.shape == (7, env.state_dim)
                assert reward.shape == terminated.shape == (7,)
                assert reward.dtype == np.float32 and terminated.dtype == bool
                seen += [obs, state, reward]
            assert isinstance(env.render(), str)
        return np.concatenate([x.ravel() for x in seen])

    np.testing.assert_array_equal(play(seed=1), play(seed=1))
    if name not in ("matrix_game", "two_step_game"):  # which have nothing random
        assert (play(seed=1) != play(seed=2)).any()


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("chess", {}, "environment must be one of matrix_game, two_step_game, gaussian_squeeze, predator_prey"),
        ("no_such_module:Env", {}, "cannot be imported"),
        ("envs:NoSuchClass", {}, "cannot be imported"),
        ("matrix_game", {"penalty": 1}, "matrix_game has no option 'penalty', it has: none"),
        ("predator_prey", {"speed": 1}, "no option 'speed', it has: penalty, grid_size, n_predators, n_prey, view"),
        (f"{__name__}:MyPredatorPrey", {"speed": 1}, "no option 'speed', it has: penalty, grid_size"),
        ("predator_prey", {"view": 0}, "view must be an integer of at least 1, got 0"),
        ("predator_prey", {"view": 1.5}, "view must be an integer of at least 1, got 1.5"),
        ("predator_prey", {"grid_size": 1}, "grid_size must be an integer of at least 2, got 1"),
        ("predator_prey", {"n_predators": 0}, "n_predators must be an integer of at least 1, got 0"),
        ("predator_prey", {"n_prey": True}, "n_prey must be an integer of at least 1, got True"),
        ("predator_prey", {"penalty": float("nan")}, "penalty must be a number of at least 0, got nan"),
        ("predator_prey", {"penalty": float("inf")}, "penalty must be a number of at least 0, got inf"),
        ("predator_prey", {"penalty": "low"}, "penalty must be a number of at least 0, got 'low'"),
        ("predator_prey", {"observation": "full"}, "observation must be planes or coordinates, got 'full'"),
        ("predator_prey", {"observation": "coordinates", "view": 2}, "view must be left out with observation coordi"),
        ("predator_prey", {"n_predators": 25}, "n_predators \\+ n_prey must be at most 25"),
        ("gaussian_squeeze", {"n_domains": 3}, "n_domains must be 1 or 2, got 3"),
        ("gaussian_squeeze", {"observation": "all"}, "observation must be full or own, got 'all'"),
        ("gaussian_squeeze", {"n_agents": 0}, "n_agents must be an integer of at least 1, got 0"),
    ],
)
def test_what_cannot_work_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        envs.make(name, 2, 0, **options)


class AnyOption(envs.MatrixGame):
    def __init__(self, num_envs, seed, **options):
        super().__init__(num_envs, seed)
        self.options = options


class NeedsSize(envs.MatrixGame):
    def __init__(self, num_envs, seed, size, **options):
        super().__init__(num_envs, seed)


@pytest.mark.parametrize(
    "cls, options, message",
    [
        ("AnyOption", {"num_envs": 3}, "no option 'num_envs'"),
        ("AnyOption", {"seed": 3}, "no option 'seed'"),
        ("NeedsSize", {"other": 1}, "needs a value of its option 'size', by --env-args"),
    ],
)
def test_options_that_a_class_of_ones_own_cannot_have_or_needs(cls, options, message):
    with pytest.raises(envs.InvalidEnv, match=message):
        envs.make(f"{__name__}:{cls}", 2, 0, **options)
    envs.make(f"{__name__}:NeedsSize", 2, 0, size=1)


def test_options_reach_a_class_of_ones_own():
    assert envs.make(f"{__name__}:MyPredatorPrey", 2, 0, penalty=1.5, view=3).penalty == 1.5
    assert envs.make(f"{__name__}:AnyOption", 2, 0, name="anything", x=1).options == {"name": "anything", "x": 1}


class Wrong:
    """Keeps to the protocol but for what `change` does to it; every episode ends after three steps."""

    num_envs, n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 2, 3, 4, 5, 6
    change, closed = {}, 0

    def __init__(self, num_envs, seed):
        self.avail_actions = np.ones((2, 2, 3), bool)
        for name, value in self.change.items():
            setattr(self, name, value.__get__(self) if callable(value) else value)

    def reset(self):
        self.t = 0
        return np.zeros((2, 2, 4)), np.zeros((2, 5))

    def step(self, actions):
        self.t += 1
        return np.zeros((2, 2, 4)), np.zeros((2, 5)), np.zeros(2), np.full(2, self.t == 3)

    def close(self):
        Wrong.closed += 1


def late(**change):
    """step() that returns these in place of what it should at the third and last step."""

    def step(self, actions):
        result = dict(zip(["obs", "state", "reward", "terminated"], Wrong.step(self, actions)))
        return tuple((result | (change if self.t == 3 else {})).values())

    return {"step": step}


def no_action_at_the_second_step(self, actions):
    result = Wrong.step(self, actions)
    self.avail_actions = np.ones((2, 2, 3), bool)
    self.avail_actions[1, 0] = self.t != 2
    return result


@pytest.mark.parametrize(
    "change, message",
    [
        ({"obs_dim": 3}, r"obs must be .* of shape \(2, 2, 3\), got float64 \(2, 2, 4\) at step 0"),
        ({"state_dim": 3}, r"state must be .* of shape \(2, 3\), got float64 \(2, 5\) at step 0"),
        ({"avail_actions": np.ones((2, 2, 2), bool)}, r"avail_actions must be .* of shape \(2, 2, 3\), got bool"),
        ({"avail_actions": np.ones((2, 2, 3), bool).tolist()}, "avail_actions must be a numpy array .* got list"),
        ({"avail_actions": np.zeros((2, 2, 3), bool)}, "agent 0 of copy 0 has no available action at step 0"),
        ({"step": no_action_at_the_second_step}, "agent 0 of copy 1 has no available action at step 2"),
        ({"step": lambda self, actions: (0, 0, 0, 0, 0)}, r"step\(\) must return obs, .*, terminated, got 5 values"),
        ({"reset": lambda self: np.zeros((2, 2, 4))}, r"reset\(\) must return obs, state, got ndarray"),
        ({"episode_limit": 6.0}, "episode_limit must be an integer of at least 1, got 6.0"),
        ({"num_envs": 3}, "num_envs must be what the constructor was given, 2, got 3"),
        ({"step": None}, "it has no method step"),
        (late(obs=np.zeros((2, 2, 4), int)), "obs must have the type float64 that it had first, got int64 at step 3"),
        ({"reset": lambda self: (np.zeros((2, 2, 4), ">f4"), np.zeros((2, 5)))}, "obs must have a type that .* >f4"),
        ({"reset": lambda self: (np.zeros((2, 2, 4)), np.zeros((2, 5), np.longdouble))}, "state must have a type that"),
        (late(reward=[0.0, 0.0]), "reward must be a numpy array .* got list at step 3"),
        (late(reward=np.zeros((2, 1))), r"reward must be .* got float64 \(2, 1\) at step 3"),
        (late(terminated=np.zeros(2)), "terminated must be a numpy array of bool or integers .* got float64"),
        ({"step": lambda self, a: (*Wrong.step(self, a)[:2], np.array([0, np.nan]), np.zeros(2, bool))},
         "reward of copy 1 is not finite at step 1"),
    ],
)  # fmt: skip
def test_environment_that_breaks_the_protocol_is_refused(change, message, monkeypatch):
    envs.check(envs.make(f"{__name__}:Wrong", 2, 0))
    monkeypatch.setattr(Wrong, "change", change)
    with pytest.raises(envs.InvalidEnv, match=message) as error:
        envs.check(envs.make(f"{__name__}:Wrong", 2, 0))
    assert str(error.value).startswith(f"environment {__name__}:Wrong: ")


def test_environment_that_is_refused_is_closed(monkeypatch):
    monkeypatch.setattr(Wrong, "change", {"obs_dim": 3})
    before = Wrong.closed
    with pytest.raises(envs.InvalidEnv):
        envs.make(f"{__name__}:Wrong", 2, 0)
    assert Wrong.closed == before + 1


class OneStep(envs.MatrixGame):
    pass


def test_checking_a_game_of_one_step_says_nothing(recwarn):
    envs.check(envs.make(f"{__name__}:OneStep", 1, 0))
    assert not recwarn.list


def test_what_an_ended_copy_returns_does_not_matter(monkeypatch):
    def step(self, actions):
        obs, state, reward, _ = Wrong.step(self, actions)
        obs[0, :, :], reward[0] = (np.nan, np.nan) if self.t > 1 else (0, 0)
        self.avail_actions[0] = self.t < 1
        return obs, state, reward, np.array([self.t >= 1, self.t == 3])

    monkeypatch.setattr(Wrong, "change", {"step": step})
    envs.check(envs.make(f"{__name__}:Wrong", 2, 0))


@pytest.mark.parametrize("where", ["__init__", "reset", "step"])
def test_an_error_inside_an_environment_keeps_its_traceback_and_names_the_environment(where, monkeypatch, capsys):
    def fail(self, first=None, second=None):
        return np.zeros(2) + np.zeros(3)

    monkeypatch.setattr(Wrong, where, fail)
    with pytest.raises(ValueError, match="could not be broadcast") as error:
        envs.check(envs.make(f"{__name__}:Wrong", 2, 0))
    assert not isinstance(error.value, envs.InvalidEnv) and error.traceback[-1].name == "fail"
    (line,) = capsys.readouterr().err.splitlines()
    where = "its constructor" if where == "__init__" else f"{where}()"
    assert line == f"error inside environment {__name__}:Wrong, in {where}:"


def test_sys_exit_inside_an_environment_is_an_error_but_for_signals(monkeypatch):
    for code, error in ((0, RuntimeError), (143, SystemExit)):
        monkeypatch.setattr(Wrong, "change", {"step": lambda self, actions, code=code: sys.exit(code)})
        with pytest.raises(error):
            envs.check(envs.make(f"{__name__}:Wrong", 2, 0))


@pytest.mark.parametrize(
    "name, message",
    [
        ("module", "environment must be one of"),
        ("module:", "environment must be one of"),
        (":Class", "environment must be one of"),
        ("./module:Class", "environment must be one of"),
        ("json:NotThere", "there is no NotThere in json"),
        ("envs:NotThere", "there is no NotThere in envs, the scripts' own module: rename yours"),
        ("no.such.module:Class", "there is no no beside the script or on PYTHONPATH"),
        ("json:decoder", "must be a class whose first two arguments are num_envs, seed"),
        ("math:pi", "must be a class whose first two arguments are num_envs, seed"),
    ],
)
def test_names_that_lead_nowhere(name, message):
    with pytest.raises(envs.InvalidEnv, match=message):
        envs.make(name, 2, 0)


def test_a_module_that_cannot_import_something_keeps_its_traceback(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        envs.make("needs_more:Game", 2, 0)
