"""Steps per second of predator-prey with random actions, one thread: python -m benchmark.studies.env_speed

For 2 predators and 1 prey on 5x5 and for 4 and 2 on 7x7: the median of repetitions taken in turn, and their range.
One step is one step of one copy, observations and states included.
"""

import time

import numpy as np

import envs

PRESETS = {"2v1 5x5": {}, "4v2 7x7": dict(n_predators=4, n_prey=2, grid_size=7)}
REPETITIONS, STEPS = 9, 400


def main():
    cases = []
    for preset, options in PRESETS.items():
        for num_envs in (1, 20, 32, 128):
            env = envs.make("predator_prey", num_envs, seed=0, **options)
            env.reset()
            actions = np.random.default_rng(0).integers(env.n_actions, size=(STEPS, num_envs, env.n_agents))
            cases.append((preset, env, actions, []))
    for _ in range(REPETITIONS):
        for _, env, actions, rates in cases:
            start = time.perf_counter()
            for a in actions:
                env.step(a)
            rates.append(STEPS * env.num_envs / (time.perf_counter() - start))
    print("environment  copies   steps/s (median)   lowest to highest")
    for preset, env, _, rates in cases:
        print(f"{preset:11}  {env.num_envs:6}   {np.median(rates):16,.0f}   {min(rates):,.0f} to {max(rates):,.0f}")


if __name__ == "__main__":
    main()
