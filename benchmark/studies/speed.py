"""How fast the scripts train, one thread: python -m benchmark.studies.speed [--repetitions 5]

Workloads on predator-prey, 2 predators and 1 prey on 5x5 (2v1) and 4 and 2 on 7x7 (4v2):

    default    feed-forward agents, as `python qmix.py` has them
    small      the same with batches of 32 and networks 64 wide
    reference  for comparison with other libraries: GRU agents that see 5x5 cells, a replay of 5,000 episodes, one
               update on 32 whole episodes of 100 steps for each episode played; no evaluation; not compiled

For each script: ms for one update, sampling included, plain and with --compile, and how many times as fast that is;
the limit, how long the matrix multiplications of an update (`flops`) would take at the speed of one large float32
multiplication in the same process, and how many times as long the faster update takes; steps/s of playing alone, and of
training, plain and compiled. Medians of repetitions that are taken in turn.

With --cuda, everything that the script's --cuda puts there is on the GPU.
"""

import argparse
import copy
import importlib
import time
from dataclasses import replace

import numpy as np
import torch

import envs

ALGORITHMS = ["iql", "vdn", "qmix", "qtran-base", "qtran-alt"]
GAMES = {"2v1": {}, "4v2": dict(n_predators=4, n_prey=2, grid_size=7)}
WORKLOADS = ["default", "small", "reference"]


def arguments(algorithm, workload, cuda=False):
    """The script of an algorithm, and its arguments for a workload."""
    name, _, variant = algorithm.partition("-")
    script = importlib.import_module(name)
    options = dict(cuda=cuda) | (dict(variant=variant) if variant else {})
    if workload == "small":
        options |= dict(batch_size=32, hidden_dim=64) | (dict(joint_dim=64) if variant else {})
    if workload == "reference":
        options |= dict(script.RECURRENT, recurrent=True, hidden_dim=64, buffer_size=500_000)
    return script, script.Args(**options)


def flops(algorithm, args, env):
    """Floating-point operations of the matrix multiplications in one update, 2 for each multiplication of two numbers.

    A linear layer from n to m values takes 2 n m for each row; its backward pass once as many for the weights and once
    for what it was given, where anything is to be learned from that (not for the inputs of the networks).
    """
    T, B, N, A, H = args.window, args.batch_size, env.n_agents, env.n_actions, args.hidden_dim
    steps, inputs = T * B, env.obs_dim + env.n_agents + A * args.recurrent
    encoder, core_and_head = inputs * H, H * A + (6 * H * H if args.recurrent else H * H)  # of one agent
    target_steps = steps + B if args.recurrent else steps  # a GRU runs over T + 1 observations
    products = N * (steps * (2 * encoder + 3 * core_and_head) + target_steps * (encoder + core_and_head))
    if algorithm == "qmix":
        E, S = args.embed_dim, env.state_dim
        first, last = S * (N * E + 3 * E), E
        products += steps * (2 * first + 3 * last) + steps * (first + last)
    if algorithm.startswith("qtran"):
        J = args.joint_dim
        encoded, action, head = N * H * J, N * A * J, J * J + J
        products += steps * (3 * encoded + 2 * action + 3 * head)  # Q_jt at u, to be learned
        products += 2 * steps * (encoded + action + head)  # at ubar; of the target
        products += steps * 3 * (encoded + head) * args.value_net  # V_jt
        if algorithm == "qtran-alt":
            products += steps * (encoded + N * A * head)  # at every action of every agent
    return 2 * products


class Workload:
    def __init__(self, algorithm, game, workload, device=torch.device("cpu")):
        self.algorithm, self.game, self.workload, self.device = algorithm, game, workload, device
        self.script, self.args = arguments(algorithm, workload, cuda=device.type == "cuda")
        reference = workload == "reference"
        options = GAMES[game] | (dict(view=2) if reference else {})
        self.env = envs.make("predator_prey", 32 if reference else self.args.num_envs, 0, **options)
        self.networks = self.script.make_networks(self.env, self.args).to(device)
        self.target_networks = copy.deepcopy(self.networks).requires_grad_(False)
        self.updates = [
            self.script.make_update(
                copy.deepcopy(self.networks), self.target_networks, replace(self.args, compile=compiled)
            )
            for compiled in ([False] if reference else [False, True])
        ]
        self.replay_buffer = self.script.ReplayBuffer(self.args.buffer_size // 100 * 101)
        self.rng = np.random.default_rng(0)
        self.play_times, self.update_times = [], [[] for _ in self.updates]

    def run(self):
        """Play one episode in every copy, and make the updates that are due for it, as the scripts do."""
        start = time.perf_counter()
        self.replay_buffer.add(self.script.rollout(self.env, self.networks["agent"], 0.5, self.rng, self.device))
        self.play_times.append(time.perf_counter() - start)
        n_updates = self.env.num_envs * self.env.episode_limit // self.args.train_frequency
        for update, times in zip(self.updates, self.update_times):
            start = time.perf_counter()
            for _ in range(n_updates):
                update(self.replay_buffer.sample(self.args.batch_size, self.args.window, self.rng, self.device))
            synchronize(self.device)
            times.append((time.perf_counter() - start) / n_updates)

    def line(self, flops_per_second):
        steps = self.env.num_envs * self.env.episode_limit
        play, updates = np.array(self.play_times), np.array(self.update_times)  # [n], [1 or 2, n]
        training = np.median(steps / (play + updates * (steps // self.args.train_frequency)), axis=1)
        update = np.median(updates, axis=1)
        limit = flops(self.algorithm, self.args, self.env) / flops_per_second
        ms, times, rate = "-", "-", "-"
        if len(update) > 1:
            ms, times, rate = f"{1e3 * update[1]:.2f}", f"{update[0] / update[1]:.2f}", f"{training[1]:,.0f}"
        return (
            f"{self.workload:9}  {self.game}  {self.algorithm:10}  {1e3 * update[0]:8.2f}  {ms:>8}  {times:>5}  "
            f"{1e3 * limit:8.2f}  {update[-1] / limit:5.1f}  {np.median(steps / play):9,.0f}  "
            f"{training[0]:9,.0f}  {rate:>9}"
        )


def synchronize(device):
    """Wait for what a GPU still has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def product_time(device, size=1024):
    a = torch.ones(size, size, device=device)
    synchronize(device)
    start = time.perf_counter()
    a @ a
    synchronize(device)
    return (time.perf_counter() - start) / (2 * size**3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--cuda", action="store_true", help="on the GPU")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--games", nargs="+", choices=GAMES, default=GAMES)
    given = parser.parse_args()
    repetitions = given.repetitions
    torch.set_num_threads(1)
    torch._dynamo.config.automatic_dynamic_shapes = False  # as in processes of their own; else sizes count as dynamic
    device = torch.device("cuda" if given.cuda else "cpu")
    workloads = [
        Workload(a, game, workload, device) for workload in given.workloads for game in given.games for a in ALGORITHMS
    ]
    product_times = []
    for _ in range(repetitions + 1):  # the first is for warming up
        for workload in workloads:
            workload.run()
            product_times.append(product_time(device))
    for workload in workloads:
        for times in (workload.play_times, *workload.update_times):
            del times[0]
    flops_per_second = 1 / np.median(product_times)
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if given.cuda else 'one thread of a CPU'}")
    print(f"one large float32 product: {flops_per_second / 1e9:.0f} GFLOP/s")
    print("                             ms/update                    limit         steps/s")
    print("workload   game algorithm      plain  compiled  times     ms   ratio    playing   training   compiled")
    for workload in workloads:
        print(workload.line(flops_per_second))


if __name__ == "__main__":
    main()
