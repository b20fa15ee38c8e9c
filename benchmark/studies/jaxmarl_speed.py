"""JaxMARL's QMIX (https://github.com/FLAIROx/JaxMARL) beside ours, on the reference workload of speed.py, in turn.

    git clone https://github.com/FLAIROx/JaxMARL
    python3 -m venv .venv-jax && .venv-jax/bin/pip install jaxmarl==0.2.0 flashbax hydra-core omegaconf optax six wandb
    python -m benchmark.studies.jaxmarl_speed --python .venv-jax/bin/python \\
        --qmix JaxMARL/baselines/QLearning/qmix_rnn.py

Both: GRU agents of 64, a mixer of 32, 32 copies of the environment, a replay of 5,000 episodes, one update on 32 whole
episodes of 100 steps for each episode played, no evaluation. JaxMARL's hypernetworks have two layers, here of 64, half
of what its configuration with agents and mixer of this width has (MPE); ours have one, as in the QMIX paper.

JaxMARL has no predator-prey. It plays a game of the same dimensions in which nothing happens but that steps are
counted, so that playing costs it next to nothing; we play predator-prey. Its compilation is not counted: what is timed
is how much longer a compiled run takes for 16 x 32 episodes more, once it has begun to learn. We have one thread.
JaxMARL has one thread on one CPU, and for comparison all the threads that it wants on two.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

EPISODES, COPIES, WARM_UP, MORE = 5000, 32, 32, 16  # JaxMARL begins to learn with the 32nd episode of every copy


def jaxmarl(path, n_agents, obs_dim, state_dim):
    """Seconds for one round of JaxMARL: an episode in each of 32 copies, and 32 updates."""
    import jax
    import jax.numpy as jnp
    from flax import struct
    from jaxmarl.environments.multi_agent_env import MultiAgentEnv
    from jaxmarl.environments.spaces import Box, Discrete
    from jaxmarl.wrappers.baselines import LogWrapper

    spec = importlib.util.spec_from_file_location("qmix_rnn", path)
    qmix_rnn = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(qmix_rnn)

    @struct.dataclass
    class Steps:
        t: int

    class Nothing(MultiAgentEnv):
        name = "smax"  # for which JaxMARL's wrapper takes the state from the environment, as we do

        def __init__(self):
            super().__init__(n_agents)
            self.observation_spaces = {agent: Box(0, 1, (obs_dim,)) for agent in self.agents}
            self.action_spaces = {agent: Discrete(5) for agent in self.agents}

        def get_obs(self, state):
            def bits(n):
                return ((jnp.arange(n) + state.t) % 9 == 0).astype(jnp.float32)

            return dict.fromkeys(self.agents, bits(obs_dim)) | {"world_state": bits(state_dim)}

        def get_avail_actions(self, state):
            return dict.fromkeys(self.agents, jnp.ones(5))

        def reset(self, key):
            state = Steps(jnp.zeros((), int))
            return self.get_obs(state), state

        def step_env(self, key, state, actions):
            state = Steps(state.t + 1)
            done = dict.fromkeys([*self.agents, "__all__"], state.t >= 100)
            reward = dict.fromkeys(self.agents, 1.0 * (actions["agent_0"] == actions["agent_1"]))
            return self.get_obs(state), state, reward, done, {}

    def seconds(rounds):
        config = dict(NUM_ENVS=COPIES, NUM_STEPS=100, TOTAL_TIMESTEPS=rounds * COPIES * 100, BUFFER_SIZE=EPISODES)
        config |= dict(BUFFER_BATCH_SIZE=32, NUM_EPOCHS=COPIES, LEARNING_STARTS=0, TARGET_UPDATE_INTERVAL=200, TAU=1.0)
        config |= dict(HIDDEN_SIZE=64, MIXER_EMBEDDING_DIM=32, MIXER_HYPERNET_HIDDEN_DIM=64, MIXER_INIT_SCALE=0.001)
        config |= dict(EPS_START=1.0, EPS_FINISH=0.1, EPS_DECAY=0.5, LR=5e-4, MAX_GRAD_NORM=10, GAMMA=0.9)
        config |= dict(TEST_DURING_TRAINING=False, TEST_NUM_ENVS=1, WANDB_MODE="disabled")
        key = jax.random.PRNGKey(0)
        train = jax.jit(qmix_rnn.make_train(config, LogWrapper(Nothing()))).lower(key).compile()
        start = time.perf_counter()
        trained = jax.block_until_ready(train(key))
        updates = int(trained["runner_state"][0].grad_steps)
        assert updates == COPIES * (rounds - WARM_UP + 1), updates  # it did learn, as often as it should
        return time.perf_counter() - start

    return (seconds(WARM_UP + MORE) - seconds(WARM_UP)) / MORE


def run_jaxmarl(python, path, env, threads):
    environment = dict(os.environ, JAX_PLATFORMS="cpu")
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    result = subprocess.run(
        [python, __file__, "--qmix", path, "--child", *map(str, (env.n_agents, env.obs_dim, env.state_dim))],
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads]),
        stdout=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        sys.exit(f"jaxmarl_speed.py: error: JaxMARL ended with exit code {result.returncode}")
    return float(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="a Python with JaxMARL")
    parser.add_argument("--qmix", required=True, help="JaxMARL's baselines/QLearning/qmix_rnn.py")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not Path(given.qmix).is_file():
        parser.error(f"argument --qmix: must be JaxMARL's baselines/QLearning/qmix_rnn.py, got {given.qmix}")
    if not shutil.which(given.python):
        parser.error(f"argument --python: must be a Python with JaxMARL, got {given.python}")
    if given.repetitions < 1:
        parser.error(f"argument --repetitions: must be at least 1, got {given.repetitions}")
    if given.child:
        return print(jaxmarl(given.qmix, *given.child))

    from benchmark.studies import speed

    speed.torch.set_num_threads(1)
    ours = {game: speed.Workload("qmix", game, "reference") for game in speed.GAMES}
    seconds = {(game, who): [] for game in ours for who in ("ours", "JaxMARL", "JaxMARL, 2 threads")}
    for workload in ours.values():
        workload.run()  # to warm up
    print("game  repetition  steps/s: ours  JaxMARL  JaxMARL, 2 threads", flush=True)
    for repetition in range(given.repetitions):
        for game, workload in ours.items():
            start = time.perf_counter()
            for _ in range(4):
                workload.run()
            row = [(time.perf_counter() - start) / 4]
            row += [run_jaxmarl(given.python, given.qmix, workload.env, threads) for threads in (1, 2)]
            for of_one, value in zip((seconds[k] for k in seconds if k[0] == game), row):
                of_one.append(value)
            rates = [f"{COPIES * 100 / value:,.0f}" for value in row]
            print(f"{game}   {repetition + 1:10}  {rates[0]:>13}  {rates[1]:>7}  {rates[2]:>18}", flush=True)
    for game in ours:
        medians = [f"{COPIES * 100 / np.median(seconds[k]):,.0f}" for k in seconds if k[0] == game]
        print(f"{game}       median  {medians[0]:>13}  {medians[1]:>7}  {medians[2]:>18}")


if __name__ == "__main__":
    main()
