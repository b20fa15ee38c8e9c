"""--cuda: every update and run on a GPU beside the one on the CPU. Skipped where there is no GPU."""

import numpy as np
import pytest
import torch
from test_algorithms import FORMS_OF_QTRAN, SCRIPTS, make, random_batch
from test_runs import ALGORITHMS, PAYOFF, each_algorithm, load, newest_run, run, vdn  # noqa: F401
from torch.nn.utils import parameters_to_vector

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

GAMES = ["matrix_game", "two_step_game", "gaussian_squeeze", "predator_prey"]
torch.backends.cudnn.allow_tf32 = False  # torch's default for recurrent layers, and too coarse for a comparison
plain_and_compiled = pytest.mark.parametrize("compiled", [[], ["--compile"]], ids=["plain", "compiled"])


@pytest.fixture(autouse=True)
def compile_anew():
    """As in a process of its own: else sizes that differ from test to test count as dynamic."""
    torch._dynamo.reset()


FORMS = [("iql", {}), ("vdn", {}), ("qmix", {}), *FORMS_OF_QTRAN]
UPDATES = [(*form, False, compiled) for form in FORMS for compiled in (False, True)]
# GRUs are long to compile, and the target of QTRAN makes no difference to them.
UPDATES += [(*form, True, False) for form in FORMS if form[1].get("td_target") != "factored"]


@pytest.mark.parametrize("algo, options, recurrent, compiled", UPDATES, ids=str)
def test_updates_are_those_on_the_cpu(algo, options, recurrent, compiled):
    options = options | dict(max_grad_norm=0.5, learning_rate=1e-4, recurrent=recurrent)
    results = []
    for device in ("cpu", "cuda"):
        given = make(algo, **options)
        given.args.cuda, given.args.compile = device == "cuda", compiled and device == "cuda"
        networks, target_networks = given.networks.to(device), given.target_networks.to(device)
        update = SCRIPTS[algo].make_update(networks, target_networks, given.args)
        metrics, weights = [], []
        for seed in range(20):
            batch = random_batch(seed=seed, recurrent=recurrent)
            metrics.append(torch.stack([*update(type(batch)(*(x.to(device) for x in batch))).values()]).cpu())
            weights.append(parameters_to_vector(networks.parameters()).detach().cpu())
        results.append((torch.stack(metrics), torch.stack(weights)))
    (metrics, weights), (cuda_metrics, cuda_weights) = results
    assert (weights[-1] != weights[0]).float().mean() > 0.5
    torch.testing.assert_close(cuda_metrics[:10], metrics[:10], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(cuda_metrics, metrics, rtol=5e-2, atol=5e-2)  # a unit or an argmax may have flipped
    torch.testing.assert_close(cuda_weights, weights, rtol=0, atol=5e-5)


@each_algorithm
@plain_and_compiled
@pytest.mark.parametrize("game", GAMES)
def test_a_run_begins_as_on_the_cpu(run, algo, game, compiled):  # noqa: F811
    script, *variant = ALGORITHMS[algo]
    limit = dict(matrix_game=1, two_step_game=2, gaussian_squeeze=1, predator_prey=100)[game]
    steps = dict(total_timesteps=40 * limit, eval_interval=20 * limit, num_envs=10, train_frequency=limit, window=1)
    argv = [*variant, "--env", game, *(f"--{name.replace('_', '-')}={x}" for name, x in steps.items())]
    on_cpu, on_gpu = run(script, *argv), run(script, *argv, "--cuda", *compiled)
    assert len(on_cpu) == len(on_gpu) == 2
    names = [name for name in on_cpu[0] if name.startswith(("losses", "values"))]
    assert [on_gpu[0][name] for name in names] == pytest.approx([on_cpu[0][name] for name in names], rel=0.05, abs=0.01)
    load(script, newest_run())  # what was saved on a GPU


@pytest.mark.parametrize("options", [[], ["--compile"], ["--recurrent"]], ids=str)
def test_the_same_seed_gives_the_same_run(run, options):  # noqa: F811
    argv = ["--env", "predator_prey", "--total-timesteps", 4000, "--eval-interval", 2000, "--cuda", *options]
    first, second = ([row["losses/td"] for row in run(vdn, *argv)] for _ in range(2))
    assert first == second and np.isfinite(first).all()


@plain_and_compiled
def test_qtran_finds_the_best_joint_action(run, compiled):  # noqa: F811
    script, *variant = ALGORITHMS["qtran-alt"]
    rows = run(script, *variant, "--env", "matrix_game", "--seed", 1, "--cuda", *compiled)
    assert rows[-1]["eval/return_mean"] == PAYOFF.max()
