"""What random play gets in the environments of the suite "environments": python -m benchmark.studies.random_play

Mean return of uniform random available actions, its standard error, steps in an episode; and of policies written by
hand, which brake in time. simple_spread: each agent goes to its landmark in the shortest assignment.
simple_speaker_listener: the listener goes to the landmark that the speaker is told, or, without a message, to the
middle. SMAX, which needs JaxMARL, if it is named: python -m benchmark.studies.random_play smax_3m
"""

import argparse
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


def move(way, velocity):
    """The action that goes a way [.., 2] fastest, from the velocity [.., 2]: stay, or left, right, down, up."""
    way = way - 0.3 * velocity
    axis = np.abs(way).argmax(axis=-1)
    along = np.take_along_axis(way, axis[..., None], axis=-1)[..., 0]
    return np.where(np.abs(along) < 0.06, 0, 1 + 2 * axis + (along > 0))


def assigned(obs, avail_actions):
    """obs of simple_spread: own velocity, own place, then the three landmarks as seen from oneself."""
    landmarks = obs[..., 4:10].reshape(*obs.shape[:2], 3, 2)
    distance = np.linalg.norm(landmarks, axis=-1)  # [E, N, landmark]
    ways = np.array([*permutations(range(3))])  # [6, N]
    best = ways[distance[:, np.arange(3), ways].sum(axis=-1).argmin(axis=-1)]  # [E, N]
    return move(np.take_along_axis(landmarks, best[..., None, None], axis=2)[:, :, 0], obs[..., :2])


def told(obs, avail_actions):
    """obs: the speaker's is the goal's colour; the listener's its velocity, then the landmarks as seen from itself."""
    goal, landmarks = obs[:, 0, :3].argmax(axis=-1), obs[:, 1, 2:8].reshape(-1, 3, 2)
    return np.stack([goal, move(landmarks[np.arange(len(goal)), goal], obs[:, 1, :2])], axis=1)


def not_told(obs, avail_actions):
    listener = move(obs[:, 1, 2:8].reshape(-1, 3, 2).mean(axis=1), obs[:, 1, :2])
    return np.stack([np.zeros_like(listener), listener], axis=1)


BY_HAND = {
    "simple_spread": {"by hand": assigned},
    "simple_speaker_listener": {"by hand": told, "by hand without a message": not_told},
}


def main(episodes=2000):
    arguments = suites.arguments("environments")
    others = [name for name in arguments if not name.endswith("recurrent")]
    arguments |= suites.arguments("smax")
    parser = argparse.ArgumentParser()
    parser.add_argument("games", nargs="*", choices=[*others, "smax_3m"], metavar="game")
    for name in parser.parse_args().games or others:
        args = runner.arguments(f"vdn.py {arguments[name]}")
        env = envs.make(args["env"], episodes, 0, **args["env_args"])
        for policy_name, policy in {"random": random_policy(1), **BY_HAND.get(name, {})}.items():
            total, steps = returns(env, policy)
            error = total.std() / episodes**0.5
            length = f"{steps.mean():.1f} steps, {episodes} episodes"
            print(f"{name}, {policy_name}: {total.mean():.2f} +- {error:.2f}, {length}")
        envs.close(env)


if __name__ == "__main__":
    main()
