"""JaxMARL's SMAX (Rutherford et al. 2023), StarCraft's battles in JAX, as an environment of the scripts' protocol.

    pip install jaxmarl==0.2.0
    python vdn.py --env docs.smax:SMAX --env-args map_name 3m

SMAX is batched by jax.vmap, so no copy is stepped by itself: a step of all of them is one call.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxmarl import make
from jaxmarl.environments.smax import map_name_to_scenario


class SMAX:
    """Our units against SMAX's scripted ones; the return of a battle won is 2: 1 for the enemies' health, 1 for that.

    map_name  3m, 2s3z, 5m_vs_6m, ... as in JaxMARL
    """

    def __init__(self, num_envs, seed, map_name="3m"):
        game = make("HeuristicEnemySMAX", scenario=map_name_to_scenario(map_name), attack_mode="closest")
        self.num_envs, self.n_agents, self.episode_limit = num_envs, game.num_allies, game.max_steps
        self.key = jax.random.PRNGKey(seed)

        def observed(obs, state):
            avail_actions = game.get_avail_actions(state)
            each = jnp.stack([obs[agent] for agent in game.agents])
            return each, obs["world_state"], jnp.stack([avail_actions[agent] for agent in game.agents]) > 0

        def reset(key):
            obs, state = game.reset(key)
            return state, observed(obs, state)

        def step(key, state, actions):
            chosen = dict(zip(game.agents, actions))
            obs, state, reward, done, _ = game.step_env(key, state, chosen)
            return state, observed(obs, state), reward[game.agents[0]], done["__all__"]  # the team's, the same for all

        self.reset_all, self.step_all = jax.jit(jax.vmap(reset)), jax.jit(jax.vmap(step))
        obs, state = self.reset()
        self.obs_dim, self.state_dim, self.n_actions = obs.shape[2], state.shape[1], self.avail_actions.shape[2]

    def keys(self):
        self.key, key = jax.random.split(self.key)
        return jax.random.split(key, self.num_envs)

    def reset(self):
        self.t = 0
        self.battles, (obs, state, avail_actions) = self.reset_all(self.keys())
        self.avail_actions = np.asarray(avail_actions)
        return np.array(obs), np.array(state)

    def step(self, actions):
        self.t += 1
        self.battles, (obs, state, avail_actions), reward, done = self.step_all(self.keys(), self.battles, actions)
        self.avail_actions = np.asarray(avail_actions)
        ended = np.asarray(done) & (self.t < self.episode_limit)  # SMAX reports the time limit as the end
        return np.array(obs), np.array(state), np.asarray(reward), ended
