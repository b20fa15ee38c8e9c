"""What the benchmarks compute, against the published figures."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmark import optimum, speed


def test_optimum_of_predator_prey():
    assert optimum.predator_prey((0.5, 1.0, 1.5)) == pytest.approx([28.89, 25.74, 23.77], abs=0.05)


def test_the_discount_of_the_scripts_costs_nothing():
    (best,) = optimum.predator_prey([1.5])
    (discounted,) = optimum.predator_prey([1.5], discount=0.9)
    assert best - 0.05 < discounted < best


@pytest.mark.parametrize("n_domains, best", [(1, 7.246), (2, 7.661)])
def test_optimum_of_gaussian_squeeze(n_domains, best):
    assert optimum.gaussian_squeeze(n_domains, draws=300_000) == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("reference", [False, True], ids=["default", "reference"])
@pytest.mark.parametrize("game", speed.GAMES)
@pytest.mark.parametrize("algorithm", speed.ALGORITHMS)
def test_flops_of_an_update_are_those_that_torch_counts(algorithm, game, reference):
    workload = speed.Workload(algorithm, game, reference)
    script, args, env = workload.script, workload.args, workload.env
    workload.replay.add(script.rollout(env, workload.networks["agent"], 0.5, workload.rng, workload.device))
    batch = workload.replay.sample(args.batch_size, args.window, workload.rng, workload.device)
    with FlopCounterMode(display=False) as counter:
        script.compute_loss(workload.networks, workload.targets, batch, args)[0].backward()
    # the first step of a GRU has nothing to pass back
    assert speed.flops(algorithm, args, env) == pytest.approx(counter.get_total_flops(), rel=0.002)
