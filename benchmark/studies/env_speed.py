"""Steps per second of predator-prey, one thread: python -m benchmark.studies.env_speed

For 2 predators and 1 prey on 5x5 and for 4 and 2 on 7x7, of random actions that were drawn before, and of episodes that
agents play, as `rollout` of the scripts does: medians of repetitions taken in turn, and for the first their range. One
step is one step of one copy, observations and states included.
"""

import time

import numpy as np
import torch

import envs
import vdn

PRESETS = {"2v1 5x5": {}, "4v2 7x7": dict(n_predators=4, n_prey=2, grid_size=7)}
REPETITIONS, STEPS = 9, 400


def main():
    torch.set_num_threads(1)
    cases, rng = [], np.random.default_rng(0)
    for preset, options in PRESETS.items():
        for num_envs in (1, 20, 32, 128):
            env = envs.make("predator_prey", num_envs, 0, **options)
            env.reset()
            actions = rng.integers(env.n_actions, size=(STEPS, num_envs, env.n_agents))
            cases.append((preset, env, actions, vdn.Agent(env, vdn.Args.hidden_dim, recurrent=False), [], []))
    for _ in range(REPETITIONS):
        for _, env, actions, agent, rates, rates_of_agents in cases:
            start = time.perf_counter()
            for a in actions:
                env.step(a)
            rates.append(STEPS * env.num_envs / (time.perf_counter() - start))
            start = time.perf_counter()
            vdn.rollout(env, agent, 0.5, rng, torch.device("cpu"))
            rates_of_agents.append(env.episode_limit * env.num_envs / (time.perf_counter() - start))
    print("environment  copies   steps/s (median)   lowest to highest     played by agents")
    for preset, env, _, _, rates, rates_of_agents in cases:
        of_rates, of_agents = f"{min(rates):,.0f} to {max(rates):,.0f}", f"{np.median(rates_of_agents):,.0f}"
        print(f"{preset:11}  {env.num_envs:6}   {np.median(rates):16,.0f}   {of_rates:20}  {of_agents:>16}")


if __name__ == "__main__":
    main()
