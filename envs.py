"""Batched environments for cooperative multi-agent reinforcement learning, in numpy.

One object steps `num_envs` independent copies of a game at once. All of them, and any class of your own that the
scripts are to train on, follow one small protocol. E = num_envs, N = n_agents; options come from --env-args:

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
and learning bootstraps from its last observation. A copy that has terminated before the others is stepped on with them
until the next `reset()`; nothing is learned from what it returns then. Until it terminates, each of its agents has at
least one available action. All randomness comes from one generator made from `seed`.

    python -c "import envs; env = envs.make('predator_prey', num_envs=1, seed=1); env.reset(); print(env.render())"

Environments of PettingZoo (parallel API) and Gymnasium come by name, see `Copies`:
"pettingzoo:mpe2.simple_spread_v3", "gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3".
"""

import importlib
import inspect
import random
import sys
from contextlib import contextmanager, suppress
from numbers import Integral, Real

import numpy as np


class InvalidEnv(ValueError):
    """An environment that cannot be made, or does not keep to the protocol above. The message is fit for a user."""


def make(name, /, num_envs, seed, **options):
    """Build an environment by its name: one of `ENVS`, "module:Class" for a class of your own, "pettingzoo:MODULE" or
    "gymnasium:MODULE:ID".

    Raises InvalidEnv for an unknown name or option, or a value that cannot work. Errors inside others' code pass.
    """
    if name.startswith(("pettingzoo:", "gymnasium:")):
        random.seed(seed)
        np.random.seed(seed)  # some draw from these two, and not from a generator of their own
        copies, make_copy = [], import_library(name, options)
        try:
            with errors_of(name, "its constructor"):
                try:
                    for _ in range(num_envs):
                        copies.append(make_copy())
                except TypeError as error:
                    if any(f"keyword argument {key!r}" in str(error) for key in options):
                        raise InvalidEnv(f"{name}: {error}") from None
                    raise
                env = Copies(name, copies, seed)
            return Checked(env, name, num_envs)
        except BaseException:
            for copy in copies:
                with suppress(Exception, SystemExit):  # the first error is what matters
                    copy.close()
            raise
    cls = ENVS[name] if name in ENVS else import_class(name)
    try:
        _, _, *parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        raise InvalidEnv(f"environment {name} must be a class whose first two arguments are num_envs, seed") from None
    allowed = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    unknown = [key for key in options if key not in allowed]
    if unknown and len(allowed) == len(parameters):
        raise InvalidEnv(f"{name} has no option {unknown[0]!r}, it has: {', '.join(allowed) or 'none'}")
    if name not in ENVS:
        with errors_of(name, "its constructor"):
            env = cls(num_envs, seed, **options)
        try:
            return Checked(env, name, num_envs)
        except BaseException:
            close(env)
            raise
    try:
        return cls(num_envs, seed, **options)
    except ValueError as error:
        raise InvalidEnv(f"{name}: {error}") from None
    except MemoryError:
        raise InvalidEnv(f"{name}: {num_envs} copies with these options take more memory than there is") from None


def import_class(name):
    """The class that "module:Class" names; InvalidEnv if there is none."""
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        others = "pettingzoo:MODULE, gymnasium:MODULE:ID, or module:Class"
        raise InvalidEnv(f"environment must be one of {', '.join(ENVS)}, {others}, got {name!r}")
    try:
        with errors_of(name, "the import of its module", but=(ModuleNotFoundError,)):
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):  # else it is one that the module imports
            where = "beside the script or on PYTHONPATH"
            raise InvalidEnv(f"environment {name} cannot be imported, there is no {error.name} {where}") from None
        raise
    if not hasattr(module, attribute):
        own = ", the scripts' own module: rename yours" if module_name == __name__ else ""
        raise InvalidEnv(f"environment {name} cannot be imported, there is no {attribute} in {module_name}{own}")
    return getattr(module, attribute)


@contextmanager
def errors_of(name, where, but=()):
    """Say whose error it is, unless it is ours, and let it pass with its traceback. sys.exit is an error, too."""
    try:
        yield
    except (InvalidEnv, *but):
        raise
    except SystemExit as error:
        if error.code in (130, 143):  # SIGINT or SIGTERM, see `main` in the scripts
            raise
        raise RuntimeError(f"environment {name} called sys.exit({error.code!r}) in {where}") from error
    except Exception:
        print(f"error inside environment {name}, in {where}:", file=sys.stderr)
        raise


def import_library(name, options):
    """A function that makes one copy of the environment that the name says, with the parallel API of PettingZoo."""
    library, module_name, *env_id = name.split(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise InvalidEnv(f"environment must be pettingzoo:MODULE or gymnasium:MODULE:ID, got {name!r}")
    try:
        with errors_of(name, "the import of its module", but=(ModuleNotFoundError,)):
            module = importlib.import_module(module_name)
        if library == "gymnasium":
            import gymnasium
    except ModuleNotFoundError as error:
        hint = "" if "." in str(error.name) else f"; perhaps pip install {error.name}"
        raise InvalidEnv(f"environment {name}: there is no module {error.name}{hint}") from None
    if library == "pettingzoo":
        if env_id or not hasattr(module, "parallel_env"):
            raise InvalidEnv(
                f"environment {name}: {module_name} has no parallel_env; agents that take turns are not supported, "
                "docs/environments.md shows how to name what has another name"
            )
        return lambda: module.parallel_env(**options)
    if len(env_id) != 1 or env_id[0] not in gymnasium.registry:
        raise InvalidEnv(
            "environment must be gymnasium:MODULE:ID, with an ID that the module registers (in gymnasium, not gym), "
            f"got {name!r}"
        )
    return lambda: Parallel(gymnasium.make(env_id[0], disable_env_checker=True, **options))


class Parallel:
    """A Gymnasium environment whose spaces are a Tuple, with one for each agent, in PettingZoo's parallel API.

    A reward that is one number is the team's, and counts as agent 0's. Masks are `action_mask` of the info, or what
    `get_avail_actions()` returns, as in PyMARL.
    """

    def __init__(self, env):
        from gymnasium import spaces

        self.env, self.unwrapped = env, env.unwrapped
        for name, space in (("action_space", env.action_space), ("observation_space", env.observation_space)):
            if not isinstance(space, spaces.Tuple) or len(space) != len(env.action_space):
                raise InvalidEnv(f"{env.spec.id}: {name} must be a Tuple, one space for each agent, got {space}")
        self.agents = self.possible_agents = list(range(len(env.action_space)))

    def observation_space(self, agent):
        return self.env.observation_space[agent]

    def action_space(self, agent):
        return self.env.action_space[agent]

    def reset(self, seed=None):
        obs, info = self.env.reset(seed=seed)
        return dict(enumerate(obs)), self._infos(info)

    def step(self, actions):
        dead = {i: self.action_space(i).start for i in self.agents if i not in actions}
        actions = tuple((actions | dead)[i] for i in self.agents)
        obs, reward, terminated, truncated, info = self.env.step(actions)
        ends = [np.broadcast_to(x, len(self.agents)) for x in (self._number(terminated), self._number(truncated))]
        values = obs, np.atleast_1d(self._number(reward)), *ends
        return *(dict(enumerate(x)) for x in values), self._infos(info)

    def _number(self, value):
        value = np.asarray(value)
        if value.dtype.kind not in "biuf" or value.shape not in ((), (len(self.agents),)):
            raise InvalidEnv(
                f"{self.env.spec.id}: reward, terminated and truncated must be a number, or one for each of "
                f"{len(self.agents)} agents, got {value.tolist()}"
            )
        return value

    def _infos(self, info):
        if not isinstance(info, dict):
            raise InvalidEnv(f"{self.env.spec.id}: info must be a dict, got {info}")
        masks = info.get("action_mask")
        if masks is None and hasattr(self.unwrapped, "get_avail_actions"):
            masks = self.unwrapped.get_avail_actions()
        if masks is None:
            return {}
        if not isinstance(masks, (list, tuple, np.ndarray)) or len(masks) != len(self.agents):
            raise InvalidEnv(f"{self.env.spec.id}: action_mask must have one row for each of {len(self.agents)} agents")
        return {i: {"action_mask": mask} for i, mask in enumerate(masks)}

    def close(self):
        self.env.close()


class Copies:
    """Copies of an environment with PettingZoo's parallel API, stepped one after the other, in the protocol above.

    An observation is flattened, brought from its bounds, where it has some, to [-1, 1], or [0, 1] if it is never
    negative, and padded with zeros to the longest. An agent that has died observes zeros, and has action 0 only. The
    state is the environment's own, or all observations. The reward is the sum over agents (`agent_reward` [E, N] has
    each one's). The time limit is that of the environment; an end at that step is truncation, as some report it as
    termination, and agents are shown what they observe then. Seeds are given at the first reset.
    """

    def __init__(self, name, copies, seed):
        from gymnasium import spaces

        self.name, self.copies, self.num_envs, self.flatten = name, copies, len(copies), spaces.flatten
        first = copies[0]
        self.agents = list(getattr(first, "possible_agents", ()))
        if not self.agents:
            self._fail("all agents must be known in advance, as possible_agents")
        self.spaces, self.middles, self.scales = [], [], []  # of each agent's observation, without its mask
        for agent in self.agents:
            space, action_space = first.observation_space(agent), first.action_space(agent)
            if isinstance(space, spaces.Dict) and "action_mask" in space.spaces:
                space = spaces.Dict({key: part for key, part in space.items() if key != "action_mask"})
            if not isinstance(action_space, spaces.Discrete):
                self._fail(f"actions must be gymnasium's Discrete, agent {agent} has {action_space}")
            if not isinstance(space, spaces.Space) or not space.is_np_flattenable:
                self._fail(f"observations must have a fixed number of numbers, agent {agent} has {space}")
            box = spaces.flatten_space(space)
            low, high = box.low.astype(np.float64), box.high.astype(np.float64)
            bounded = (low < high) & (np.maximum(-low, high) < 1e6)
            low, high = np.where(bounded, low, 0), np.where(bounded, high, 1)  # (seen - 0) / 1 without bounds
            middle = np.where(low < 0, (low + high) / 2, 0)  # where 0 is the least, it often means nothing: it stays 0
            self.spaces.append(space)
            self.middles.append(middle.astype(np.float32))
            self.scales.append((high - middle).astype(np.float32))
        self.starts = [int(first.action_space(agent).start) for agent in self.agents]
        self.n_choices = [int(first.action_space(agent).n) for agent in self.agents]
        self.n_agents, self.n_actions, self.obs_dim = len(self.agents), max(self.n_choices), max(map(len, self.scales))
        self.episode_limit = self._limit()
        self.seeds = [int(x) for x in np.random.SeedSequence(seed).generate_state(self.num_envs)]
        self.all_actions = np.arange(self.n_actions) < np.array(self.n_choices)[:, None]  # [N, n_actions]
        self.obs = np.zeros((self.num_envs, self.n_agents, self.obs_dim), np.float32)
        self.agent_reward = np.zeros((self.num_envs, self.n_agents), np.float32)
        self.avail_actions = np.zeros((self.num_envs, self.n_agents, self.n_actions), bool)
        self.state, self.ended = None, [set()] * self.num_envs  # of each copy: the agents that ended
        self.reset()

    def _fail(self, message):
        raise InvalidEnv(f"environment {self.name}: {message}")

    def _limit(self):
        """The number of steps after which an episode is cut off, as the first copy has it: the least that it names."""
        copy = self.copies[0]
        unwrapped = getattr(copy, "unwrapped", copy)
        # The TimeLimit of gymnasium.make, then the environment's own.
        places = getattr(getattr(copy, "env", None), "spec", None), unwrapped, getattr(unwrapped, "env", None)
        names = "max_episode_steps", "_max_episode_steps", "max_cycles", "max_steps"
        limits = [getattr(place, name, None) for place in places for name in names]
        limits = [int(limit) for limit in limits if isinstance(limit, Integral) and limit > 0 and limit is not True]
        if limits:
            return min(limits)
        self._fail(
            "it does not say after how many steps an episode ends: there is no max_cycles, max_steps or "
            "max_episode_steps. docs/environments.md shows how to set it"
        )

    def _living(self, e):
        return [agent for agent in self.agents if agent in self.copies[e].agents and agent not in self.ended[e]]

    def _observe(self, e, observations, infos, shown):
        """Write what copy e shows to the agents in `shown` into obs, avail_actions and state."""
        self.obs[e], self.avail_actions[e], self.avail_actions[e, :, 0] = 0, False, True
        for i, agent in enumerate(self.agents):
            if agent not in shown:
                continue
            if agent not in observations:
                self._fail(f"there is no observation of agent {agent}")
            seen, mask = observations[agent], ((infos or {}).get(agent) or {}).get("action_mask")
            if isinstance(seen, dict):
                mask = seen.get("action_mask", mask)
            try:
                seen = np.asarray(self.flatten(self.spaces[i], seen))
            except (KeyError, IndexError, TypeError, ValueError):
                self._fail(f"agent {agent} observes what is not in its space, {self.spaces[i]}")
            if seen.shape != self.scales[i].shape:
                self._fail(
                    f"agent {agent} must observe {len(self.scales[i])} numbers, as its space says, got {len(seen)}"
                )
            self.obs[e, i, : len(seen)] = (seen - self.middles[i]) / self.scales[i]
            self.avail_actions[e, i] = self.all_actions[i]
            if mask is not None:
                if np.shape(mask) != (self.n_choices[i],):
                    self._fail(f"the action mask of agent {agent} must have {self.n_choices[i]} entries, got {mask}")
                self.avail_actions[e, i, : len(mask)] &= np.asarray(mask, bool)
        if shown:
            self._observe_state(e)

    def _observe_state(self, e):
        copy = self.copies[e]
        try:
            state = copy.state() if hasattr(copy, "state") else None
        except NotImplementedError:
            state = None
        except (AttributeError, TypeError) as error:  # some have an attribute of this name
            if self.state is None:
                print(f"environment {self.name}: no state() ({error}), all observations instead", file=sys.stderr)
            state = None
        except Exception:
            if copy.agents:
                raise
            state = ()
        state = self.obs[e].ravel() if state is None else np.asarray(state, np.float32).ravel()
        if self.state is None:
            self.state_dim = len(state)
            self.state = np.zeros((self.num_envs, self.state_dim), np.float32)
        if len(state) == self.state_dim:
            self.state[e] = state
        elif copy.agents:  # else the state before the end stays: some have none once their agents are gone
            self._fail(f"the state must have {self.state_dim} numbers, as at first, got {len(state)}")

    def reset(self):
        for e, copy in enumerate(self.copies):
            result = copy.reset(seed=self.seeds[e] if self.seeds else None)
            if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], (dict, type(None))):
                self._fail("reset() must return observations and infos, as in PettingZoo's parallel API of today")
            self.ended[e] = set()
            self._observe(e, *result, self._living(e))
        if self.state is None:
            self._fail("no agent lives after reset()")
        self.seeds, self.t = None, 0
        return self.obs.copy(), self.state.copy()

    def step(self, actions):
        self.t += 1
        self.agent_reward[:] = 0
        terminated = np.zeros(self.num_envs, bool)
        for e, copy in enumerate(self.copies):
            living = shown = self._living(e)
            if living:
                chosen = {a: int(u) + s for a, u, s in zip(self.agents, actions[e], self.starts) if a in living}
                result = copy.step(chosen)
                five = isinstance(result, tuple) and len(result) == 5
                if not five or not all(isinstance(x, dict) for x in (*result[:4], result[4] or {})):
                    self._fail(
                        "step() must return observations, rewards, terminations, truncations and infos, each by agent, "
                        "as in PettingZoo's parallel API of today"
                    )
                observations, rewards, terminations, truncations, infos = result
                for agent, reward in rewards.items():
                    if np.ndim(reward):
                        self._fail(f"reward of {agent} must be a number, got {reward}")
                    if agent not in self.agents:
                        self._fail(f"agent {agent} is not among possible_agents")
                self.agent_reward[e] = [rewards.get(agent, 0) for agent in self.agents]
                self.ended[e] |= {agent for agent in chosen if terminations.get(agent) or truncations.get(agent)}
                living = self._living(e)
                at_limit = not living and self.t == self.episode_limit  # learning may bootstrap from what is seen then
                shown = [agent for agent in chosen if agent in observations] if at_limit else living
                self._observe(e, observations, infos, shown)
                if at_limit:  # some allow nothing then, and whatever is valued then counts
                    none = ~self.avail_actions[e].any(axis=1)
                    self.avail_actions[e, none] = self.all_actions[none]
            terminated[e] = not living and not shown
        return self.obs.copy(), self.state.copy(), self.agent_reward.sum(axis=1), terminated

    def close(self):
        for copy in self.copies:
            copy.close()


class Checked:
    """An environment of the user's own, which is held to the protocol at every step.

    Raises InvalidEnv where it breaks the protocol, with the name of what is wrong and, if it can be said, agent, copy
    and step. It gets a copy of the actions, so that what the caller stores is what was chosen. Attributes that are not
    here are those of the environment.
    """

    def __init__(self, env, name, num_envs):
        self.env, self.name = env, name
        for attribute in ("num_envs", "n_agents", "n_actions", "obs_dim", "state_dim", "episode_limit"):
            value = getattr(env, attribute, None)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                self._fail(f"{attribute} must be an integer of at least 1, got {value!r}")
            setattr(self, attribute, int(value))  # a small NumPy integer would overflow
        if env.num_envs != num_envs:
            self._fail(f"num_envs must be what the constructor was given, {num_envs}, got {env.num_envs}")
        for method in ("reset", "step"):
            if not callable(getattr(env, method, None)):
                self._fail(f"it has no method {method}")
        self.obs_dtype = self.state_dtype = None
        obs, state = self.reset()
        self.obs_dtype, self.state_dtype = obs.dtype, state.dtype

    def __getattr__(self, name):
        return getattr(self.env, name)

    def _fail(self, message):
        raise InvalidEnv(f"environment {self.name}: {message}")

    def _array(self, name, value, shape, kinds="biuf", dtype=None):
        """Fail unless `value` is an array of this shape, of one of numpy's kinds, finite where a copy has not ended."""
        if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind not in kinds:
            got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            what = "bool or integers" if kinds == "biu" else "bool or numbers"
            self._fail(f"{name} must be a numpy array of {what} of shape {shape}, got {got} at step {self.t}")
        if not value.dtype.isnative or value.dtype.itemsize > 8:
            self._fail(f"{name} must have a type that torch knows, such as float32, got {value.dtype} at step {self.t}")
        if dtype is not None and dtype != value.dtype:  # numpy takes None for float64
            self._fail(f"{name} must have the type {dtype} that it had first, got {value.dtype} at step {self.t}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            for copy in np.flatnonzero(~self.ended):
                if not np.isfinite(value[copy]).all():
                    self._fail(f"{name} of copy {copy} is not finite at step {self.t}")

    def _observed(self, obs, state):
        E, N = self.num_envs, self.n_agents
        self._array("obs", obs, (E, N, self.obs_dim), dtype=self.obs_dtype)
        self._array("state", state, (E, self.state_dim), dtype=self.state_dtype)
        self._array("avail_actions", getattr(self.env, "avail_actions", None), (E, N, self.n_actions), "biu")
        none = ~self.env.avail_actions.astype(bool).any(axis=2) & ~self.ended[:, None]
        if none.any():
            copy, agent = np.argwhere(none)[0]
            self._fail(f"agent {agent} of copy {copy} has no available action at step {self.t}")

    def _unpack(self, names, result):
        if not isinstance(result, tuple) or len(result) != len(names):
            got = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
            self._fail(f"{'reset' if len(names) == 2 else 'step'}() must return {', '.join(names)}, got {got}")
        return result

    def reset(self):
        self.t, self.ended = 0, np.zeros(self.num_envs, bool)
        with errors_of(self.name, "reset()"):
            result = self.env.reset()
        obs, state = self._unpack(["obs", "state"], result)
        self._observed(obs, state)
        return obs, state

    def step(self, actions):
        with errors_of(self.name, "step()"):
            result = self.env.step(actions.copy())
        self.t += 1
        obs, state, reward, terminated = self._unpack(["obs", "state", "reward", "terminated"], result)
        self._array("reward", reward, (self.num_envs,))
        self._array("terminated", terminated, (self.num_envs,), "biu")
        self.ended = self.ended | terminated.astype(bool)
        self._observed(obs, state)
        return obs, state, reward, terminated


def check(env):
    """Play an episode of random available actions, so that an environment of one's own fails before a run begins.

    InvalidEnv, too, if the rewards of two agents of a library's environment are opposed, for which it plays 500 steps.
    """
    if isinstance(env, Checked):
        rng, agent_rewards, few = np.random.default_rng(0), [], True
        while few:
            env.reset()
            while not env.ended.all() and env.t < env.episode_limit:
                env.step((rng.random(env.avail_actions.shape) * (env.avail_actions != 0)).argmax(axis=2))
                if isinstance(env.env, Copies):
                    agent_rewards.append(env.agent_reward.copy())
            few = 0 < len(agent_rewards) * env.num_envs < 500  # too few to tell a correlation from chance
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.corrcoef(np.concatenate(agent_rewards), rowvar=False) if agent_rewards else np.zeros(0)
        for i, j in np.argwhere(np.atleast_2d(correlation) < -0.5)[:1]:  # NaN where a reward is constant
            env._fail(
                f"rewards of agents {i} and {j} are opposed (correlation {correlation[i, j]:.2f}), so there is no team"
            )


def close(env):
    """Close an environment, if it has something to close."""
    if hasattr(env, "close"):
        with errors_of(getattr(env, "name", ""), "close()"):
            env.close()


def check_number(name, value, kind, minimum):
    """Raise ValueError unless the option is a finite number of its kind, Integral or Real, of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, kind) or not minimum <= value < np.inf:
        what = "an integer" if kind is Integral else "a number"
        raise ValueError(f"{name} must be {what} of at least {minimum}, got {value!r}")


class MatrixGame:
    """Two agents, three actions, one step, one pay-off matrix (Son et al. 2019, Table 1).

    The best joint action, (0, 0) = 8, shares its row and column with pay-offs of -12, so that an agent whose partner
    explores uniformly is on average better off with any other action. Observation and state are the constant 1.
    """

    payoff = np.array([[8, -12, -12], [-12, 0, 0], [-12, 0, 0]], np.float32)
    n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 3, 1, 1, 1
    obs_dtype = state_dtype = bool

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
    obs_dtype = state_dtype = bool

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
    obs_dtype = state_dtype = np.float32

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
    obs_dtype = state_dtype = bool

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
        if self.n_cells * (2 * (2 * view + 1) ** 2 + 2 * grid_size) > 10**9:
            raise ValueError(
                f"grid_size {grid_size} with view {view} takes more than a GB for what is seen from its cells"
            )
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
            self.obs_dim, self.obs_dtype = 2 * self.n_entities + 2, np.float32
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


ENVS = {
    "matrix_game": MatrixGame,
    "two_step_game": TwoStepGame,
    "gaussian_squeeze": GaussianSqueeze,
    "predator_prey": PredatorPrey,
}
