"""Other people's environments by name, held to the protocol of envs.py: those of PettingZoo (parallel API) and
Gymnasium, and classes of your own. envs.make imports this file when a name has a colon:

    pettingzoo:MODULE           pettingzoo:mpe2.simple_spread_v3
    gymnasium:MODULE:ID         gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3
    MODULE:Class                my_module:MyEnv
"""

import importlib
import inspect
import random
import sys
import warnings
from contextlib import ExitStack, contextmanager, suppress
from numbers import Integral

import numpy as np

from envs import ENVS, InvalidEnv


def make(name, num_envs, seed, /, **options):
    """Build an environment by its name, see above. Returns it as a `Checked` one.

    Raises InvalidEnv for an unknown name or option. Errors inside others' code pass, what was made so far is closed.
    """
    with ExitStack() as stack:
        if name.startswith(("pettingzoo:", "gymnasium:")):
            random.seed(seed)
            np.random.seed(seed)  # some draw from these two, and not from a generator of their own
            copies, make_copy = [], import_library(name, options)
            with errors_of(name, "its constructor"):
                try:
                    for _ in range(num_envs):
                        copies.append(make_copy())
                        stack.callback(close_after_an_error, copies[-1])
                except TypeError as error:
                    if any(f"keyword argument {key!r}" in str(error) for key in options):
                        raise InvalidEnv(f"{name}: {error}") from None
                    raise
                env = Copies(name, copies, seed)
        else:
            cls = import_class(name, options)
            with errors_of(name, "its constructor"):
                env = cls(num_envs, seed, **options)
            stack.callback(close_after_an_error, env)
        env = Checked(env, name, num_envs)
        stack.pop_all()
        return env


def close_after_an_error(env):
    with suppress(Exception, SystemExit):  # the first error is what matters
        env.close()


def import_class(name, options):
    """The class that "module:Class" names; InvalidEnv if there is none, or it does not take these options."""
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
        own = ", the scripts' own module: rename yours" if module_name in ("envs", __name__) else ""
        raise InvalidEnv(f"environment {name} cannot be imported, there is no {attribute} in {module_name}{own}")
    try:
        _, _, *parameters = inspect.signature(getattr(module, attribute)).parameters.values()
    except (TypeError, ValueError):
        raise InvalidEnv(f"environment {name} must be a class whose first two arguments are num_envs, seed") from None
    allowed = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    unknown = [key for key in options if key not in allowed and len(allowed) == len(parameters)]
    unknown += [key for key in ("num_envs", "seed") if key in options]
    if unknown:
        raise InvalidEnv(f"{name} has no option {unknown[0]!r}, it has: {', '.join(allowed) or 'none'}")
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.name in allowed and parameter.name not in options:
            raise InvalidEnv(f"{name} needs a value of its option {parameter.name!r}, by --env-args")
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
        if env_id:
            raise InvalidEnv(f"environment must be pettingzoo:MODULE, got {name!r}")
        if not hasattr(module, "parallel_env"):
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
        for name in ("action_space", "observation_space"):
            space = getattr(env, name, None)
            if space is None:
                raise InvalidEnv(f"{env.spec.id}: there is no {name}")
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
    negative, and padded with zeros to the longest. An agent that has died observes zeros, and has action 0 only; if it
    left the environment's `agents` and is back there, it plays again. The state is the environment's own, or all
    observations. The reward is the sum over agents (`agent_reward` [E, N] has each one's). The time limit is that of
    the environment; an end at that step is truncation, as some report it as termination, and agents are shown what
    they observe then. Seeds are given at the first reset.
    """

    def __init__(self, name, copies, seed):
        from gymnasium import spaces

        self.name, self.copies, self.num_envs, self.flatten = name, copies, len(copies), spaces.flatten
        first = copies[0]
        self.agents = list(getattr(first, "possible_agents", ()))
        if not self.agents:
            self._fail("all agents must be known in advance, as possible_agents")
        self.spaces, self.middles, self.scales = [], [], []  # of each agent's observation, without its mask
        self.starts, self.n_choices = [], []  # of each agent's actions
        for agent in self.agents:
            space, action_space = self._space("observation_space", agent), self._space("action_space", agent)
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
            self.starts.append(int(action_space.start))
            self.n_choices.append(int(action_space.n))
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

    def _space(self, what, agent):
        first = self.copies[0]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PettingZoo's own method warns, and looks into the dict of older ones
                method = getattr(first, what, None)
                return method(agent) if callable(method) else getattr(first, f"{what}s")[agent]
        except AttributeError as error:
            if error.name not in (what, f"{what}s"):
                raise
            self._fail(f"there is no {what}(agent), nor a dict {what}s")

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
                self.ended[e] &= set(copy.agents)  # one that left may come back; some stay, though they ended
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
        self.rewards, self.reward_scale = [], RewardScale()  # by step of this episode; of the episodes before
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
        self._count_rewards()
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
        self.rewards.append(reward[~self.ended].astype(np.float32))
        self.ended = self.ended | terminated.astype(bool)
        self.reward_scale.ends_early |= self.t < self.episode_limit and self.ended.any()
        self._observed(obs, state)
        return obs, state, reward, terminated

    def _count_rewards(self):
        if self.rewards:
            self.reward_scale.add(np.concatenate(self.rewards).astype(np.float64))
            self.rewards = []

    def standardise(self, reward):
        """What is learned from in place of `reward`, a tensor, see RewardScale; made from all rewards so far."""
        self._count_rewards()
        return self.reward_scale(reward)

    def check(self):
        """Play an episode of random available actions, so that the environment fails before a run begins.

        InvalidEnv, too, if the rewards of two agents of a library's environment are opposed, for which it plays 500
        steps.
        """
        rng, agent_rewards, few = np.random.default_rng(0), [], True
        while few:
            self.reset()
            while not self.ended.all() and self.t < self.episode_limit:
                self.step((rng.random(self.avail_actions.shape) * (self.avail_actions != 0)).argmax(axis=2))
                if isinstance(self.env, Copies):
                    agent_rewards.append(self.agent_reward.copy())
            few = 0 < len(agent_rewards) * self.num_envs < 500  # too few to tell a correlation from chance
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.corrcoef(np.concatenate(agent_rewards), rowvar=False) if agent_rewards else np.zeros(0)
        for i, j in np.argwhere(np.atleast_2d(correlation) < -0.5)[:1]:  # NaN where a reward is constant
            self._fail(
                f"rewards of agents {i} and {j} are opposed (correlation {correlation[i, j]:.2f}), so there is no team"
            )

    def close(self):
        if callable(getattr(self.env, "close", None)):
            with errors_of(self.name, "close()"):
                self.env.close()


class RewardScale:
    """--standardise-rewards: (reward - recent mean) / standard deviation of all rewards so far.

    A constant taken from every reward changes no ranking of policies where all episodes are equally long (Naik et al.
    2024, "Reward Centering"), and large values that hardly differ are hard to learn. Where a game may end sooner, no
    mean is taken, as it could then pay to end it, or not to.
    """

    def __init__(self):
        self.sums, self.recent_mean, self.n_rounds, self.ends_early = np.zeros(3), 0.0, 0, False

    def add(self, reward):
        """reward: float64 [steps], of one round of episodes."""
        self.sums += [reward.size, reward.sum(), (reward**2).sum()]
        self.n_rounds += 1
        self.recent_mean += max(0.01, 1 / self.n_rounds) * (reward.mean() - self.recent_mean)

    def __call__(self, reward):
        n, total, total_square = self.sums
        std = max(total_square / n - (total / n) ** 2, 0) ** 0.5
        mean = 0.0 if self.ends_early else self.recent_mean
        return (reward - mean) / (std if std > 1e-4 * abs(total / n) else 1.0)  # all alike: std is rounding
