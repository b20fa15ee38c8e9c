"""What random play gets in the environments of the suite "environments": python -m benchmark.studies.random_play

Mean return of uniform random available actions, its standard error, steps in an episode; and for simple_spread a policy
written by hand: each agent goes to the landmark that it has in the shortest assignment, and brakes in time.
"""

from itertools import permutations

import numpy as np

import envs
from benchmark import runner, suites


def returns(env, policy):
    """Return and steps of one episode in each copy, [E] each. policy: obs, avail_actions -> actions [E, N]."""
    (obs, _), ended = env.reset(), np.zeros(env.num_envs, bool)
    total, steps = np.zeros((2, env.num_envs))
    while not ended.all() and env.t < env.episode_limit:
        obs, _, reward, terminated = env.step(policy(obs, env.avail_actions))
        total, steps = total + np.where(ended, 0, reward), steps + ~ended
        ended = ended | terminated
    return total, steps


def random_policy(seed):
    rng = np.random.default_rng(seed)
    return lambda obs, avail_actions: (rng.random(avail_actions.shape) * avail_actions).argmax(axis=-1)


def spread_policy(obs, avail_actions):
    """obs of simple_spread: own velocity, own place, then the three landmarks as seen from oneself."""
    velocity, landmarks = obs[..., :2], obs[..., 4:10].reshape(*obs.shape[:2], 3, 2)
    distance = np.linalg.norm(landmarks, axis=-1)  # [E, N, landmark]
    ways = np.array([*permutations(range(3))])  # [6, N]
    best = ways[distance[:, np.arange(3), ways].sum(axis=-1).argmin(axis=-1)]  # [E, N]
    goal = np.take_along_axis(landmarks, best[..., None, None], axis=2)[:, :, 0] - 0.3 * velocity  # [E, N, 2]
    axis = np.abs(goal).argmax(axis=-1)
    along = np.take_along_axis(goal, axis[..., None], axis=-1)[..., 0]
    return np.where(np.abs(along) < 0.06, 0, 1 + 2 * axis + (along > 0))  # stay, or left, right, down, up


def main(episodes=2000):
    for name in suites.OTHERS:
        args = runner.arguments(f"vdn.py {suites.GAMES[name].arguments}")
        env = envs.make(args["env"], episodes, 0, **args["env_args"])
        policies = {"random": random_policy(1)} | ({"by hand": spread_policy} if name == "simple_spread" else {})
        for policy_name, policy in policies.items():
            total, steps = returns(env, policy)
            error = total.std() / episodes**0.5
            length = f"{steps.mean():.1f} steps, {episodes} episodes"
            print(f"{name}, {policy_name}: {total.mean():.2f} +- {error:.2f}, {length}")
        envs.close(env)


if __name__ == "__main__":
    main()
