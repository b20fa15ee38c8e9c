"""The environments against recordings of the original, a literal restatement of its rules, and closed forms."""

from pathlib import Path

import numpy as np
import pytest

import envs

RECORDINGS = sorted((Path(__file__).parent / "data").glob("predator_prey_*.npz"))
UP, LEFT, STAY, RIGHT, DOWN = range(5)


def literal_move(positions, actions, grid_size):
    """The movement rule entity by entity, recursion and all, for one copy."""
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


def random_positions(rng, num_envs, n, grid_size):
    cells = rng.random((num_envs, grid_size**2)).argsort(axis=1)[:, :n]
    return np.stack(np.divmod(cells, grid_size), axis=2)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_transitions(recording):
    data = np.load(recording)
    grid_size, n_predators, penalty = int(data["grid"]), int(data["n_predators"]), float(data["penalty"])
    assert len(data["before"]) == 4000
    moved = envs.move(data["before"], data["actions"], grid_size)
    np.testing.assert_array_equal(moved, data["moved"])
    near = envs.hunters(moved, n_predators)
    np.testing.assert_array_equal(near >= 2, data["captured"])
    reward = (near >= 2).sum(axis=1) - penalty * (near == 1).sum(axis=1)
    np.testing.assert_array_equal(reward.astype(np.float32), data["reward"])


@pytest.mark.parametrize("grid_size, n", [(2, 3), (2, 4), (3, 5), (3, 8), (4, 10), (5, 20), (7, 6), (9, 40), (15, 90)])
@pytest.mark.parametrize("dtype", [np.int8, np.int64])
def test_move_equals_the_literal_rule_in_crowds(grid_size, n, dtype):
    rng = np.random.default_rng(grid_size)
    positions = random_positions(rng, 300, n, grid_size).astype(dtype)
    actions = rng.integers(5, size=(300, n)).astype(dtype)
    expected = np.array([literal_move(p, a, grid_size) for p, a in zip(positions, actions)])
    np.testing.assert_array_equal(envs.move(positions, actions, grid_size), expected)


@pytest.mark.parametrize(
    "before, actions, after",
    [
        pytest.param([(0, 0), (0, 1)], [RIGHT, LEFT], [(0, 0), (0, 1)], id="swap blocks"),
        pytest.param(
            [(0, 0), (0, 1), (1, 1), (1, 0)],
            [RIGHT, DOWN, LEFT, UP],
            [(0, 0), (0, 1), (1, 1), (1, 0)],
            id="cycle blocks",
        ),
        pytest.param([(0, 0), (0, 1), (0, 2)], [RIGHT] * 3, [(0, 1), (0, 2), (0, 3)], id="queue moves"),
        pytest.param(
            [(0, 2), (0, 1), (0, 0)], [RIGHT] * 3, [(0, 3), (0, 2), (0, 1)], id="queue moves, led by the first"
        ),
        pytest.param([(0, 1), (0, 2), (0, 3)], [RIGHT] * 3, [(0, 1), (0, 2), (0, 3)], id="queue stops at a wall"),
        pytest.param([(0, 0), (0, 1)], [RIGHT, STAY], [(0, 0), (0, 1)], id="one that stays blocks"),
        pytest.param([(0, 0), (3, 3)], [UP, DOWN], [(0, 0), (3, 3)], id="walls"),
        pytest.param([(0, 0), (0, 2)], [RIGHT, LEFT], [(0, 1), (0, 2)], id="the first in order gets the cell"),
        pytest.param(
            [(0, 3), (0, 2), (1, 1), (0, 0)],
            [UP, LEFT, UP, RIGHT],
            [(0, 3), (0, 1), (1, 1), (0, 0)],
            id="three for one",
        ),
        pytest.param(
            # 0 asks 2 to go first, so 2 takes (1, 2) before 1 has its turn
            [(0, 0), (1, 3), (0, 1)],
            [RIGHT, LEFT, RIGHT],
            [(0, 1), (1, 2), (0, 2)],
            id="no conflict",
        ),
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


def test_move_three_cycle_cannot_exist_on_a_grid_but_three_around_a_corner_block():
    # Cells of a grid are two-coloured, so cycles are even; the nearest thing to a cycle of three is one with a gap.
    before = np.array([[(0, 0), (0, 1), (1, 1)]])
    moved = envs.move(before, np.array([[RIGHT, DOWN, LEFT]]), grid_size=3)
    assert moved.tolist() == [[[0, 1], [1, 1], [1, 0]]]
    moved = envs.move(before, np.array([[RIGHT, DOWN, UP]]), grid_size=3)  # 1 and 2 want to swap, 0 waits for them
    assert moved.tolist() == before.tolist()


def test_hunters_by_hand():
    positions = np.array([[(1, 1), (3, 1), (2, 2), (2, 1), (0, 0)], [(0, 0), (4, 4), (4, 3), (2, 2), (0, 1)]])
    assert envs.hunters(positions, n_predators=3).tolist() == [[3, 0], [0, 1]]  # the four neighbours, not the diagonals


def boxed_in(num_envs, seed):
    """A prey in the corner that cannot move, two predators next to it that stay."""
    env = envs.make("predator_prey", num_envs, seed)
    env.positions = np.tile([(0, 1), (1, 0), (0, 0)], (num_envs, 1, 1))
    return env, np.full((num_envs, 2), STAY)


def test_replacement_is_uniform_over_the_empty_cells():
    env, stay = boxed_in(num_envs=22_000, seed=0)
    _, _, reward, _ = env.step(stay)
    assert (reward == 1).all()
    counts = np.bincount(env.positions[:, 2] @ [5, 1], minlength=25)
    assert (counts[[0, 1, 5]] == 0).all()  # its old cell and the two that are taken
    chi_square = ((np.delete(counts, [0, 1, 5]) - 1000) ** 2 / 1000).sum()
    assert chi_square < 46.8  # 99.9 % quantile with 21 degrees of freedom


def test_second_prey_may_take_the_place_of_the_first_but_not_its_own():
    env = envs.make("predator_prey", 5000, 0, n_predators=4, n_prey=2, grid_size=3)
    env.positions = np.tile([(0, 1), (1, 0), (1, 2), (2, 1), (0, 0), (2, 2)], (5000, 1, 1))
    _, _, reward, _ = env.step(np.full((5000, 4), STAY))
    assert (reward == 2).all()
    first, second = (env.positions[:, prey] @ [3, 1] for prey in (4, 5))
    assert set(first) == {2, 4, 6}
    assert set(second) == {0, 2, 4, 6}
    assert (first != second).all()


def test_full_grid_has_nowhere_to_go():
    env = envs.make("predator_prey", 4, 0, n_predators=3, n_prey=1, grid_size=2)
    before = env.positions.copy()
    _, _, reward, _ = env.step(np.full((4, 3), UP))
    np.testing.assert_array_equal(env.positions, before)
    assert (reward == 1).all()


def test_lone_attack_is_punished_and_the_prey_stays():
    env = envs.make("predator_prey", 100, 0, penalty=1.5)
    env.positions = np.tile([(0, 1), (4, 4), (0, 0)], (100, 1, 1))
    _, _, reward, _ = env.step(np.full((100, 2), STAY))
    stayed = (env.positions[:, 2] == (0, 0)).all(axis=1)  # else it has run down, out of reach
    assert 50 < stayed.sum() < 100
    assert (reward[stayed] == -1.5).all() and (reward[~stayed] == 0).all()


def test_nobody_shares_a_cell_and_the_reward_is_that_of_the_positions():
    env = envs.make("predator_prey", 200, 3, n_predators=4, n_prey=2, grid_size=4, penalty=1.0)
    env.reset()
    rng = np.random.default_rng(0)
    captures = 0
    for _ in range(50):
        before = env.positions.copy()
        _, _, reward, terminated = env.step(rng.integers(5, size=(200, 4)))
        assert not terminated.any()
        cells = env.positions @ [4, 1]
        assert all(len(set(copy)) == 6 for copy in cells.tolist())
        assert (np.abs(env.positions[:, :4] - before[:, :4]).sum(axis=2) <= 1).all()
        captures += (reward > 0).sum()
    assert captures > 100


def test_random_play_scores_what_the_original_does():
    env = envs.make("predator_prey", 2000, 0)
    env.reset()
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


def test_render_shows_the_first_copy():
    env = envs.make("predator_prey", 2, 0)
    env.positions[0] = [(0, 0), (4, 4), (1, 3)]
    assert env.render() == "0 . . . .\n. . . a .\n. . . . .\n. . . . .\n. . . . 1"


def test_matrix_game():
    env = envs.make("matrix_game", 9, 0)
    env.reset()
    _, _, reward, terminated = env.step(np.array([(i, j) for i in range(3) for j in range(3)]))
    assert reward.tolist() == [8, -12, -12, -12, 0, 0, -12, 0, 0] and terminated.all()


def test_two_step_game():
    env = envs.make("two_step_game", 5, 0)
    obs, state = env.reset()
    assert obs.tolist() == [[[1, 0, 0]] * 2] * 5 and state.tolist() == [[1, 0, 0]] * 5
    _, state, reward, terminated = env.step(np.array([(0, 1), (1, 0), (1, 0), (1, 1), (1, 1)]))
    assert state.tolist() == [[0, 1, 0]] + [[0, 0, 1]] * 4
    assert not reward.any() and not terminated.any()
    _, _, reward, terminated = env.step(np.array([(1, 0), (0, 0), (0, 1), (1, 0), (1, 1)]))
    assert reward.tolist() == [7, 0, 1, 1, 8] and terminated.all()


@pytest.mark.parametrize("n_domains, random_play", [(1, 0.28), (2, 2.40)])
def test_gaussian_squeeze(n_domains, random_play):
    env = envs.make("gaussian_squeeze", 200_000, 0, n_domains=n_domains)
    obs, s = env.reset()
    assert s.min() >= 0 and s.max() <= 0.2 and abs(s.mean() - 0.1) < 1e-3
    actions = np.random.default_rng(0).integers(11, size=(200_000, 10))
    _, _, reward, terminated = env.step(actions)
    x = np.einsum("ei,ei->e", s.astype(float), actions)
    expected = x * np.exp(-((x - 8) ** 2) / 0.5**2) + (n_domains == 2) * x * np.exp(-((x - 5) ** 2) / 1.0**2)
    np.testing.assert_allclose(reward, expected, rtol=1e-4, atol=1e-6)
    assert abs(reward.mean() - random_play) < 0.02 and terminated.all()


def test_gaussian_squeeze_observations():
    full, s = envs.make("gaussian_squeeze", 3, 0).reset()
    own, _ = envs.make("gaussian_squeeze", 3, 0, observation="own").reset()
    for agent in range(10):
        np.testing.assert_array_equal(full[:, agent], s)
        np.testing.assert_array_equal(own[:, agent, 0], s[:, agent])


@pytest.mark.parametrize("name", list(envs.ENVS) + [f"{__name__}:MyPredatorPrey"])
def test_protocol(name):
    """What `envs` promises of every environment, a class of one's own among them."""

    def play(seed):
        env = envs.make(name, 7, seed)
        rng = np.random.default_rng(0)
        seen = []
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


class MyPredatorPrey(envs.PredatorPrey):
    pass


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("chess", {}, "environment must be one of matrix_game, two_step_game, gaussian_squeeze, predator_prey"),
        ("no_such_module:Env", {}, "cannot be imported"),
        ("envs:NoSuchClass", {}, "cannot be imported"),
        ("matrix_game", {"penalty": 1}, "penalty"),
        ("predator_prey", {"speed": 1}, "speed"),
        ("predator_prey", {"view": 0}, "view must be at least 1, got 0"),
        ("predator_prey", {"grid_size": 1}, "grid_size must be at least 2, got 1"),
        ("predator_prey", {"n_predators": 0}, "n_predators must be at least 1, got 0"),
        ("predator_prey", {"n_prey": 0}, "n_prey must be at least 1, got 0"),
        ("predator_prey", {"penalty": float("nan")}, "penalty must be at least 0, got nan"),
        ("predator_prey", {"n_predators": 25}, "n_predators \\+ n_prey must be at most 25"),
        ("gaussian_squeeze", {"n_domains": 3}, "n_domains must be 1 or 2, got 3"),
        ("gaussian_squeeze", {"observation": "all"}, "observation must be full or own, got 'all'"),
        ("gaussian_squeeze", {"n_agents": 0}, "n_agents must be at least 1, got 0"),
    ],
)
def test_what_cannot_work_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        envs.make(name, 2, 0, **options)


class Wrong:
    """Keeps to the protocol but for what `change` does to it."""

    num_envs, n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 2, 3, 4, 5, 6
    change = {}

    def __init__(self, num_envs, seed):
        self.avail_actions = np.ones((2, 2, 3), bool)
        for name, value in self.change.items():
            setattr(self, name, value)

    def reset(self):
        return np.zeros((2, 2, 4)), np.zeros((2, 5))

    def step(self, actions):
        return *self.reset(), np.zeros(2), np.zeros(2, bool)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"obs_dim": 3}, r"obs must have shape \(2, 2, 3\), got \(2, 2, 4\)"),
        ({"state_dim": 3}, r"state must have shape \(2, 3\), got \(2, 5\)"),
        ({"avail_actions": np.ones((2, 2, 2), bool)}, r"avail_actions must have shape \(2, 2, 3\), got \(2, 2, 2\)"),
        ({"avail_actions": np.zeros((2, 2, 3), bool)}, "available actions for every agent after reset"),
        ({"step": lambda actions: (0, 0, 0, 0, 0)}, r"step\(\) obs, state, reward, terminated"),
    ],
)
def test_environment_that_breaks_the_protocol_is_refused(change, message, monkeypatch):
    envs.make(f"{__name__}:Wrong", 2, 0)
    monkeypatch.setattr(Wrong, "change", change)
    with pytest.raises(ValueError, match=message):
        envs.make(f"{__name__}:Wrong", 2, 0)


def test_environment_without_a_limit_is_refused(monkeypatch):
    monkeypatch.delattr(Wrong, "episode_limit")
    with pytest.raises(ValueError, match="Wrong has no episode_limit"):
        envs.make(f"{__name__}:Wrong", 2, 0)
