"""Environments of PettingZoo and Gymnasium, the real packages, beside what they say when asked one by one."""

import csv
import random
import sys
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from mpe2 import simple_spread_v3
from pettingzoo import ParallelEnv

import envs
import vdn

SPREAD = "pettingzoo:mpe2.simple_spread_v3"
FORAGING = "gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3"
WAREHOUSE = "gymnasium:rware:rware-tiny-2ag-v2"


@pytest.mark.parametrize(
    "name, options, shape, limit",
    [
        (SPREAD, {}, (3, 5, 18, 54), 25),
        (SPREAD, {"N": 5, "max_cycles": 50}, (5, 5, 30, 150), 50),
        (
            "pettingzoo:mpe2.simple_speaker_listener_v4",
            {},
            (2, 5, 11, 14),
            25,
        ),  # observations of 3 and 11, actions 3, 5
        ("pettingzoo:mpe2.simple_reference_v3", {}, (2, 50, 21, 42), 25),
        (FORAGING, {}, (2, 6, 12, 24), 50),
        (FORAGING, {"max_episode_steps": 20}, (2, 6, 12, 24), 20),
        (FORAGING, {"max_episode_steps": 100}, (2, 6, 12, 24), 50),  # it has a limit of its own
        (WAREHOUSE, {}, (2, 5, 71, 142), 500),
    ],
    ids=str,
)
def test_what_it_is_and_that_an_episode_keeps_to_the_protocol(name, options, shape, limit):
    env = envs.make(name, 3, 0, **options)
    assert (env.n_agents, env.n_actions, env.obs_dim, env.state_dim) == shape and env.episode_limit == limit
    envs.check(env)
    assert env.t == limit and not env.ended.any()  # a limit is no end, also where it is reported as one
    envs.close(env)


def test_spread_is_what_each_copy_would_be_by_itself():
    env, rng = envs.make(SPREAD, 3, 5), np.random.default_rng(0)
    seeds = np.random.SeedSequence(5).generate_state(3)
    alone = [simple_spread_v3.parallel_env() for _ in range(3)]
    for copy, seed in zip(alone, seeds):
        copy.reset(seed=int(seed))  # envs.make has played on from there, without another seed
        copy.reset()
    for _ in range(2):
        obs, state = env.reset()
        seen = [copy.reset()[0] for copy in alone]
        for t in range(26):  # the observations at the limit, too, from which may be bootstrapped
            for e, copy in enumerate(alone):
                np.testing.assert_array_equal(obs[e], np.stack([seen[e][agent] for agent in copy.possible_agents]))
                np.testing.assert_array_equal(state[e], copy.state().astype(np.float32))
            assert env.avail_actions.all()
            if t == 25:
                break
            actions = rng.integers(5, size=(3, 3))
            obs, state, reward, terminated = env.step(actions)
            played = [copy.step(dict(zip(copy.agents, a))) for copy, a in zip(alone, actions)]
            seen = [result[0] for result in played]
            np.testing.assert_allclose(reward, [sum(result[1].values()) for result in played], rtol=1e-5)
            assert not terminated.any()


def foraging(seen):
    """Observations of two players as ours: row, column and level of two foods and two players, from their bounds."""
    seen = np.stack(seen).reshape(2, 4, 3)
    places, levels = (seen[..., :2] - 3) / 4, seen[..., 2:] / [[4], [4], [2], [2]]  # from -1 .. 7, and 0 .. 4 or 2
    return np.concatenate([places, levels], axis=2).reshape(2, 12)


def test_foraging_is_brought_from_its_bounds_to_1_at_most_and_shown_at_its_limit():
    env = envs.make(FORAGING, 2, 0)
    copy = gymnasium.make(FORAGING.split(":")[2], disable_env_checker=True)
    copy.reset(seed=int(np.random.SeedSequence(0).generate_state(2)[0]))
    copy.reset()
    np.testing.assert_allclose(env.reset()[0][0], foraging(copy.reset()[0]), rtol=1e-6)
    for _ in range(50):  # players who do nothing
        obs, _, _, terminated = env.step(np.zeros((2, 2), int))
        seen, *_ = copy.step((0, 0))
    assert not terminated.any() and (env.avail_actions.sum(axis=2) == 6).all()
    np.testing.assert_allclose(obs[0], foraging(seen), rtol=1e-6)


@pytest.mark.parametrize(
    "low, high, seen, expected",
    [
        (0, 255, 51, 0.2),
        (-10, 30, -10, -1),
        (-10, 30, 10, 0),
        (-8, -4, -5, 0.5),
        (2, 4, 3, 0.75),
        (-np.inf, np.inf, 7, 7),
        (0, np.inf, 7, 7),
        (-np.inf, 5, 4, 4),
        (-1, 1e9, 7, 7),
        (3, 3, 3, 3),
    ],
)
def test_bounds_of_all_kinds(mortal, monkeypatch, recwarn, low, high, seen, expected):
    box = spaces.Box(low, high, (2, 2), np.float32)
    monkeypatch.setattr(Mortal, "observation_space", lambda self, agent: box)
    monkeypatch.setattr(Mortal, "_now", lambda self: ({a: np.full((2, 2), seen) for a in self.agents}, {}))
    env = envs.make(mortal, 1, 0)
    np.testing.assert_allclose(env.reset()[0], expected, rtol=1e-6)
    assert not recwarn.list


def test_mask_of_the_listener_and_the_speaker():
    env = envs.make("pettingzoo:mpe2.simple_speaker_listener_v4", 2, 0)
    obs, _ = env.reset()
    assert env.avail_actions.sum(axis=2).tolist() == [[3, 5], [3, 5]]
    assert not obs[:, 0, 3:].any() and obs[:, 1, 3:].any()  # padded


class Mortal:
    """Agent a dies after two steps, b after three; actions from 10; b may take 12 only, later 11 and 12."""

    possible_agents, max_cycles, made, closed = ["a", "b"], 6, [], 0

    def __init__(self, pay=1, masks="observations"):
        self.unwrapped, self.pay, self.masks, self.resets, self.taken = self, pay, masks, [], []
        Mortal.made.append(self)

    def action_space(self, agent):
        return spaces.Discrete(3, start=10)

    def observation_space(self, agent):
        box = spaces.Box(0, 255, (2, 2), np.uint8)
        return spaces.Dict(observation=box, action_mask=spaces.MultiBinary(3)) if self.masks == "observations" else box

    def _now(self):
        mask = np.array([0, self.t > 0, 1], np.int8)
        see = {a: np.full((2, 2), 51 * (1 + self.t), np.uint8) for a in self.agents}
        if self.masks == "observations":
            return {a: dict(observation=x, action_mask=mask if a == "b" else np.ones(3)) for a, x in see.items()}, {}
        return see, {"b": dict(action_mask=mask)}

    def reset(self, seed=None):
        self.resets.append(seed)
        self.t, self.agents = 0, ["a", "b"]
        return self._now()

    def step(self, actions):
        assert [*actions] == self.agents  # the living, and a copy that has ended is not stepped
        self.taken.append(actions)
        self.t += 1
        reward = dict.fromkeys(self.agents, self.pay)
        self.agents = ["a", "b"][(self.t >= 2) + (self.t >= 3) :]
        observations, infos = self._now()
        return observations, reward, {}, {}, infos

    def close(self):
        Mortal.closed += 1


@pytest.fixture
def mortal(monkeypatch):
    monkeypatch.setitem(sys.modules, "mortal", types.SimpleNamespace(parallel_env=Mortal))
    monkeypatch.setattr(Mortal, "made", [])
    monkeypatch.setattr(Mortal, "closed", 0)
    return "pettingzoo:mortal"


@pytest.mark.parametrize("masks", ["observations", "infos"])
def test_agents_that_die_masks_images_and_shifted_actions(mortal, masks):
    env = envs.make(mortal, 2, 0, masks=masks)
    assert (env.n_agents, env.n_actions, env.obs_dim, env.state_dim, env.episode_limit) == (2, 3, 4, 8, 6)
    obs, _ = env.reset()
    np.testing.assert_allclose(obs, 0.2)  # an image of 51, of 255 at most
    assert env.avail_actions[0].tolist() == [[True, True, True], [False, False, True]]
    obs, _, reward, terminated = env.step(np.array([[0, 2], [1, 2]]))
    assert Mortal.made[0].taken == [{"a": 10, "b": 12}] and Mortal.made[1].taken == [{"a": 11, "b": 12}]
    assert (
        reward.tolist() == [2, 2] and not terminated.any() and env.avail_actions[0, 1].tolist() == [False, True, True]
    )
    obs, _, reward, terminated = env.step(np.array([[0, 2], [1, 1]]))
    assert reward.tolist() == [2, 2] and not terminated.any()
    assert not obs[:, 0].any() and obs[:, 1].all()  # a is dead: it sees nothing, and has action 0 only
    assert env.avail_actions[:, 0].tolist() == [[True, False, False]] * 2
    obs, _, reward, terminated = env.step(np.array([[0, 2], [0, 1]]))
    assert reward.tolist() == [1, 1] and terminated.all() and not obs.any()
    env.step(np.zeros((2, 2), int))
    assert len(Mortal.made[0].taken) == 3  # not stepped after its end
    seeds = [copy.resets for copy in Mortal.made]
    assert all(isinstance(first, int) and not any(later) for first, *later in seeds) and seeds[0][0] != seeds[1][0]
    envs.close(env)
    assert Mortal.closed == 2


def test_copies_are_closed_where_one_of_them_is_refused(mortal, monkeypatch):
    monkeypatch.setattr(Mortal, "max_cycles", None)
    with pytest.raises(envs.InvalidEnv, match="does not say after how many steps an episode ends"):
        envs.make(mortal, 3, 0)
    assert Mortal.closed == 3


def test_a_time_limit_can_be_set_where_the_environment_says_none(mortal, monkeypatch):
    monkeypatch.setattr(Mortal, "max_cycles", None)

    def parallel_env(**options):
        env = Mortal(**options)
        env.unwrapped.max_cycles = 100
        return env

    monkeypatch.setitem(sys.modules, "my_module", types.SimpleNamespace(parallel_env=parallel_env))
    env = envs.make("pettingzoo:my_module", 3, 0)
    assert env.episode_limit == 100
    envs.close(env)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("pettingzoo:mpe2.simple_adversary_v3", {}, "rewards of agents 0 and 1 are opposed"),
        ("pettingzoo:mpe2.simple_tag_v3", {}, "rewards of agents 0 and 3 are opposed"),
        (SPREAD, {"continuous_actions": True}, "actions must be gymnasium's Discrete, agent agent_0 has Box"),
        (SPREAD, {"nonsense": 1}, "unexpected keyword argument 'nonsense'"),
        ("pettingzoo:pettingzoo.classic.rps_v2", {}, "rewards of agents 0 and 1 are opposed"),
        ("pettingzoo:pettingzoo.classic.connect_four_v3", {}, "has no parallel_env; agents that take turns are not"),
        ("pettingzoo:no_such_package.env_v1", {}, "there is no module no_such_package; perhaps pip install no_such"),
        ("gymnasium:no_such_package:Env-v1", {}, "there is no module no_such_package; perhaps pip install no_such"),
        ("pettingzoo:mpe2.no_such_v3", {}, "there is no module mpe2.no_such_v3$"),
        ("pettingzoo:", {}, "must be pettingzoo:MODULE or gymnasium:MODULE:ID, got 'pettingzoo:'"),
        ("gymnasium::Env-v1", {}, "must be pettingzoo:MODULE or gymnasium:MODULE:ID, got 'gymnasium::Env-v1'"),
        ("pettingzoo:.mpe2", {}, "must be pettingzoo:MODULE or gymnasium:MODULE:ID, got 'pettingzoo:.mpe2'"),
        ("gymnasium:lbforaging", {}, "must be gymnasium:MODULE:ID"),
        ("gymnasium:lbforaging:Foraging-v9", {}, "with an ID that the module registers"),
        ("gymnasium:gymnasium:CartPole-v1", {}, "action_space must be a Tuple"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(name, options, message):
    with pytest.raises(envs.InvalidEnv, match=message) as error:
        envs.check(envs.make(name, 32, 0, **options))
    assert "\n" not in str(error.value)


def replace(which, value):
    """Mortal's step() with one of the five things that it returns replaced."""
    step = Mortal.step

    def replaced(self, actions):
        result = [*step(self, actions)]
        result[which] = value
        return tuple(result)

    return replaced


OBS = {agent: np.full((2, 2), 51, np.uint8) for agent in "ab"}


@pytest.mark.parametrize(
    "attribute, value, message",
    [
        ("possible_agents", [], "all agents must be known in advance, as possible_agents"),
        ("observation_space", None, r"there is no observation_space\(agent\), nor a dict observation_spaces"),
        ("action_space", None, r"there is no action_space\(agent\), nor a dict action_spaces"),
        ("action_space", ParallelEnv.action_space, "there is no action_space"),  # it looks into the dict
        ("observation_space", lambda self, agent: None, "must have a fixed number of numbers, agent a has None"),
        ("observation_space", lambda self, agent: spaces.Sequence(spaces.Discrete(2)), "must have a fixed number"),
        ("observation_space", lambda self, agent: spaces.Box(0, 1, (5,)), "agent a must observe 5 numbers, .* got 4"),
        ("observation_space", lambda self, agent: spaces.Discrete(4), r"what is not in its space, Discrete\(4\)"),
        ("reset", lambda self, seed=None: {"a": 0, "b": 0}, r"reset\(\) must return observations and infos"),
        ("reset", lambda self, seed=None: (OBS, [{}, {}]), r"reset\(\) must return observations and infos"),
        ("reset", lambda self, seed=None: setattr(self, "agents", []) or ({}, {}), r"no agent lives after reset\(\)"),
        ("step", replace(0, {}), "there is no observation of agent a"),
        ("step", replace(1, {"a": np.array([1.0, 2.0])}), r"reward of a must be a number, got \["),
        ("step", replace(1, {"c": 1.0}), "agent c is not among possible_agents"),
        ("step", replace(1, 1.0), r"step\(\) must return observations, rewards, .* each by agent"),
        ("step", lambda self, actions: ({}, {}, {}, {}), r"step\(\) must return observations, rewards"),
        ("step", lambda self, actions: None, r"step\(\) must return observations, rewards"),
        ("step", replace(4, [{}, {}]), r"step\(\) must return observations, rewards"),
        ("step", replace(4, {"a": {"action_mask": [1] * 4}}), "action mask of agent a must have 3 entries, got"),
        ("state", lambda self: np.zeros(3 + self.t), "state must have 3 numbers, as at first, got 4"),
    ],
)
def test_what_is_not_the_parallel_api_is_refused_in_one_line(mortal, monkeypatch, attribute, value, message):
    if attribute == "step":
        monkeypatch.setattr(Mortal, "_now", lambda self: (OBS, {}))
        monkeypatch.setattr(Mortal, "observation_space", lambda self, agent: spaces.Box(0, 255, (2, 2), np.uint8))
    monkeypatch.setattr(Mortal, attribute, value, raising=False)
    with pytest.raises(envs.InvalidEnv, match=message) as error:
        envs.check(envs.make(mortal, 3, 0, masks="infos"))
    assert "\n" not in str(error.value) and Mortal.closed in (0, 3)


def test_whose_error_it_is_is_said_once(mortal, monkeypatch, capsys):
    """Ours in one line, which the scripts print; theirs with a line before its traceback, as it is theirs."""
    env = envs.make(mortal, 1, 0)
    monkeypatch.setattr(Mortal, "step", lambda self, actions: None)
    with pytest.raises(envs.InvalidEnv):
        env.step(np.zeros((1, 2), int))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(Mortal, "__init__", lambda self, **options: (lambda: 0)(inner=1))
    with pytest.raises(TypeError, match="'inner'"):
        envs.make(mortal, 1, 0, masks="infos")
    assert capsys.readouterr().err == f"error inside environment {mortal}, in its constructor:\n"


@pytest.mark.parametrize("shown", [True, False])
def test_nothing_is_bootstrapped_where_nothing_is_observed_at_the_limit(mortal, monkeypatch, shown):
    monkeypatch.setattr(Mortal, "max_cycles", 3)
    now = Mortal._now
    monkeypatch.setattr(Mortal, "_now", lambda self: (OBS if shown else {}, {}) if not self.agents else now(self))
    env = envs.make(mortal, 2, 0, masks="infos")
    ends = [env.step(np.full((2, 2), 2)) for _ in range(3)]
    assert [terminated.tolist() for *_, terminated in ends] == [[False] * 2, [False] * 2, [not shown] * 2]
    assert ends[-1][0].any() == shown


def test_where_no_action_is_left_at_the_limit_all_count(mortal, monkeypatch):
    monkeypatch.setattr(Mortal, "max_cycles", 2)

    def step(self, actions):
        self.t += 1
        mask = {"action_mask": [self.t < 2] * 3}
        return OBS, dict.fromkeys("ab", 1.0), {}, dict.fromkeys("ab", self.t == 2), {"a": mask}

    monkeypatch.setattr(Mortal, "step", step)
    env = envs.make(mortal, 1, 0, masks="infos")
    envs.check(env)
    assert env.t == 2 and not env.ended.any() and env.avail_actions.all()


@pytest.mark.parametrize("state", [lambda self: len(None), property(lambda self: np.zeros(7))])
def test_a_state_that_cannot_be_asked_for_is_all_observations_and_it_says_so(mortal, monkeypatch, capsys, state):
    monkeypatch.setattr(Mortal, "state", state, raising=False)
    assert envs.make(mortal, 2, 0).state_dim == 8
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"environment {mortal}: no state() (") and line.endswith("all observations instead")


def test_agents_that_only_terminations_and_truncations_tell_of(mortal, monkeypatch):
    """Against the API, they stay among the agents."""

    def step(self, actions):
        self.taken.append([*actions])
        self.t += 1
        ends = {"a": self.t == 2}, {"b": self.t == 3}
        return OBS, dict.fromkeys(actions, 1.0), *ends, {}

    monkeypatch.setattr(Mortal, "step", step)
    env = envs.make(mortal, 1, 0, masks="infos")
    terminated = [bool(env.step(np.zeros((1, 2), int))[3][0]) for _ in range(5)]
    assert Mortal.made[0].taken == [["a", "b"], ["a", "b"], ["b"]]
    assert terminated == [False, False, True, True, True]


@pytest.mark.parametrize("said", [True, False])  # whether terminations tell, beside `agents`
def test_an_agent_that_comes_back_to_life_plays_again(mortal, monkeypatch, said):
    def step(self, actions):
        self.taken.append([*actions])
        self.t += 1
        self.agents = ["b"] if self.t in (1, 2) else ["a", "b"] if self.t < 5 else []
        see = {agent: OBS[agent] for agent in self.agents}
        return see, dict.fromkeys(actions, 1.0), {"a": said and self.t == 1}, {}, {}

    monkeypatch.setattr(Mortal, "step", step)
    env = envs.make(mortal, 1, 0, masks="infos")
    sees, choices, ends = [], [], []
    for _ in range(5):
        obs, _, _, terminated = env.step(np.array([[0, 2]]))
        sees.append(obs[0, 0].any())
        choices.append(env.avail_actions[0, 0].sum())
        ends.append(terminated.item())
    assert Mortal.made[0].taken == [["a", "b"], ["b"], ["b"], ["a", "b"], ["a", "b"]]
    assert sees == [False, False, True, True, False] and choices == [1, 1, 3, 3, 1]
    assert ends == [False] * 4 + [True]


def test_spaces_in_a_dict_of_older_environments(mortal, monkeypatch):
    for what, space in (
        ("observation_space", spaces.Box(0, 255, (2, 2), np.uint8)),
        ("action_space", spaces.Discrete(3)),
    ):
        monkeypatch.delattr(Mortal, what)
        monkeypatch.setattr(Mortal, f"{what}s", dict.fromkeys("ab", space), raising=False)
    env = envs.make(mortal, 1, 0, masks="infos")
    assert (env.n_actions, env.obs_dim) == (3, 4)


def test_an_error_inside_a_space_is_theirs(mortal, monkeypatch):
    monkeypatch.setattr(Mortal, "observation_space", lambda self, agent: self.box)
    with pytest.raises(AttributeError, match="box"):
        envs.make(mortal, 1, 0)


@pytest.mark.parametrize(
    "at_the_end, last", [(lambda: np.zeros(0), 2), (lambda: 1 / 0, 2), (lambda: np.full(3, 7.0), 7)]
)
def test_a_state_that_is_gone_with_the_agents_stays(mortal, monkeypatch, at_the_end, last):
    monkeypatch.setattr(Mortal, "max_cycles", 3)
    monkeypatch.setattr(
        Mortal, "state", lambda self: np.full(3, self.t) if self.agents else at_the_end(), raising=False
    )
    now = Mortal._now
    monkeypatch.setattr(Mortal, "_now", lambda self: (OBS, {}) if not self.agents else now(self))
    env = envs.make(mortal, 1, 0, masks="infos")
    states = [env.step(np.full((1, 2), 2))[1][0].tolist() for _ in range(3)]
    assert states == [[1, 1, 1], [2, 2, 2], [last] * 3]


def test_a_state_of_none_is_all_observations(mortal, monkeypatch):
    monkeypatch.setattr(Mortal, "state", lambda self: None, raising=False)
    assert envs.make(mortal, 1, 0).state_dim == 8


def test_observations_beside_the_mask_have_any_name(mortal, monkeypatch):
    parts = {"x": spaces.Box(0, 10, (2,)), "y": spaces.Discrete(3), "action_mask": spaces.MultiBinary(3)}
    seen = {"x": np.array([1, 2]), "y": 1, "action_mask": np.array([0, 1, 1])}
    monkeypatch.setattr(Mortal, "observation_space", lambda self, agent: spaces.Dict(parts))
    monkeypatch.setattr(Mortal, "_now", lambda self: (dict.fromkeys("ab", seen), {}))
    env = envs.make(mortal, 1, 0)
    np.testing.assert_allclose(env.reset()[0][0], [[0.1, 0.2, 0, 1, 0]] * 2, rtol=1e-6)
    assert env.avail_actions[0].tolist() == [[False, True, True]] * 2


@pytest.mark.parametrize("close", [lambda self: sys.exit(), lambda self: 1 / 0])
def test_an_error_is_not_lost_when_closing_fails(mortal, monkeypatch, close):
    monkeypatch.setattr(Mortal, "max_cycles", None)
    monkeypatch.setattr(Mortal, "close", close)
    with pytest.raises(envs.InvalidEnv, match="after how many steps"):
        envs.make(mortal, 3, 0)


def test_global_generators_are_seeded(mortal, monkeypatch):
    draws = []
    monkeypatch.setattr(Mortal, "reset", lambda self, seed=None: draws.append((random.random(), np.random.random())))
    for seed in (1, 2, 1):
        with pytest.raises(envs.InvalidEnv):
            envs.make(mortal, 1, seed)
    assert draws[0] == draws[2] != draws[1]


class Tuples(gymnasium.Env):
    """Two agents; agent 0 terminates after two steps, agent 1 after three by truncation."""

    max_steps = 6
    action_space = spaces.Tuple([spaces.Discrete(3, start=1), spaces.Discrete(3)])
    observation_space = spaces.Tuple([spaces.Box(0, 1, (2,))] * 2)

    def __init__(self, **returned):
        self.returned, self.taken = returned, []

    def reset(self, seed=None, options=None):
        self.t = 0
        return (np.ones(2),) * 2, {"action_mask": [[1, 0, 1], [1, 1, 1]]}

    def step(self, actions):
        self.t += 1
        self.taken.append(actions)
        result = dict(reward=[1.0, 2.0], terminated=[self.t == 2, False], truncated=[False, self.t == 3])
        return (np.ones(2),) * 2, *(result | self.returned).values(), {"action_mask": [[0, 1, 1], [1, 1, 1]]}


gymnasium.register("Tuples-v0", Tuples)


def test_gymnasium_masks_and_agents_that_end_one_by_one():
    env = envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0)
    env.reset()
    assert env.avail_actions[0].tolist() == [[True, False, True], [True, True, True]]
    _, _, reward, terminated = env.step(np.array([[2, 1]]))
    assert reward == [3] and env.avail_actions[0].tolist() == [[False, True, True], [True, True, True]]
    obs, _, _, terminated = env.step(np.array([[1, 1]]))
    assert not terminated and not obs[0, 0].any() and env.avail_actions[0, 0].tolist() == [True, False, False]
    assert env.step(np.array([[0, 2]]))[3]
    assert env.copies[0].unwrapped.taken == [(3, 1), (2, 1), (1, 2)]  # tuples; the dead agent's is its first action


@pytest.mark.parametrize(
    "returned, total",
    [({"reward": 5}, 5), ({"reward": np.array([1, 2])}, 3), ({"reward": True}, 1)],
)
def test_gymnasium_rewards(returned, total):
    env = envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0, **returned)
    assert env.step(np.zeros((1, 2), int))[2] == [total]


@pytest.mark.parametrize(
    "returned",
    [
        {"reward": {0: 1.0, 1: 1.0}},
        {"reward": [1.0] * 3},
        {"terminated": {0: False}},
        {"truncated": {"__all__": False}},
    ],
)
def test_gymnasium_returns_that_are_refused(returned):
    with pytest.raises(
        envs.InvalidEnv, match="reward, terminated and truncated must be a number, or one for each of 2"
    ):
        envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0, **returned).step(np.zeros((1, 2), int))


@pytest.mark.parametrize("space", [spaces.Box(0, 1, (2, 2)), spaces.Tuple([spaces.Discrete(2)] * 3)])
def test_gymnasium_observations_that_are_not_one_for_each_agent(monkeypatch, space):
    monkeypatch.setattr(Tuples, "observation_space", space)
    with pytest.raises(envs.InvalidEnv, match="observation_space must be a Tuple, one space for each agent"):
        envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0)


@pytest.mark.parametrize("name", ["action_space", "observation_space"])
def test_gymnasium_spaces_that_are_missing(monkeypatch, name):
    monkeypatch.delattr(Tuples, name)
    with pytest.raises(envs.InvalidEnv, match=f"^Tuples-v0: there is no {name}$"):
        envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0)


@pytest.mark.parametrize(
    "info, message",
    [
        (None, "info must be a dict, got None"),
        ({"action_mask": 5}, "action_mask must have one row for each of 2 agents"),
        ({"action_mask": [[1, 1, 1]]}, "action_mask must have one row for each of 2 agents"),
    ],
)
def test_gymnasium_infos_that_are_refused(monkeypatch, info, message):
    monkeypatch.setattr(Tuples, "reset", lambda self, seed=None, options=None: ((np.ones(2),) * 2, info))
    with pytest.raises(envs.InvalidEnv, match=message):
        envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0)


def test_masks_of_pymarl(monkeypatch):
    monkeypatch.setattr(Tuples, "reset", lambda self, seed=None, options=None: ((np.ones(2),) * 2, {}))
    monkeypatch.setattr(Tuples, "get_avail_actions", lambda self: [[0, 0, 1], [1, 1, 0]], raising=False)
    env = envs.make("gymnasium:gymnasium:Tuples-v0", 1, 0)
    assert env.avail_actions[0].tolist() == [[False, False, True], [True, True, False]]


class Chance(Mortal):
    """Nobody dies, and each agent's reward is drawn by itself."""

    max_cycles = 4

    def reset(self, seed=None):
        self.rng = np.random.default_rng(seed) if seed is not None else self.rng
        return super().reset(seed)

    def step(self, actions):
        self.t += 1
        self.agents = ["a", "b"] if self.t < self.max_cycles else []
        return self._now()[0], dict(zip("ab", self.rng.normal(size=2))), {}, {}, {}


def test_opposed_rewards_are_told_from_chance_with_a_single_copy(monkeypatch):
    with pytest.raises(envs.InvalidEnv, match="opposed"):
        envs.check(envs.make("pettingzoo:mpe2.simple_adversary_v3", 1, 0))
    monkeypatch.setitem(sys.modules, "chance", types.SimpleNamespace(parallel_env=Chance))
    for seed in range(20):
        envs.check(envs.make("pettingzoo:chance", 1, seed))


@pytest.mark.parametrize("name", [SPREAD, FORAGING], ids=["pettingzoo", "gymnasium"])
def test_same_seed_same_log(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    logs = []
    for _ in range(2):
        argv = f"--env {name} --num-envs 4 --total-timesteps 400 --eval-interval 200 --wandb-mode disabled"
        monkeypatch.setattr(sys, "argv", [vdn.__file__, *argv.split()])
        vdn.main(vdn.parse())
        newest = max(Path("runs").iterdir(), key=lambda path: path.name.split("__")[-1])
        rows = [*csv.DictReader(open(newest / "metrics.csv"))]
        logs.append([{k: v for k, v in row.items() if k not in ("charts/seconds", "charts/SPS")} for row in rows])
    assert len(logs[0]) == 2 and logs[0] == logs[1]
