"""The scripts as a user runs them: every environment, updates, logs, learning, interruptions, mistakes.

What the scripts share, word for word (test_repo.py sees to that), is tested with vdn alone.
"""

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

import envs
import iql
import qmix
import qtran
import vdn

TIME_COLUMNS = {"charts/seconds", "charts/SPS"}
ALGORITHMS = {
    "iql": (iql,),
    "vdn": (vdn,),
    "qmix": (qmix,),
    "qtran-base": (qtran, "--variant", "base"),
    "qtran-alt": (qtran, "--variant", "alt"),
}
each_algorithm = pytest.mark.parametrize("algo", ALGORITHMS)
both_agents = pytest.mark.parametrize("recurrent", ["--no-recurrent", "--recurrent"])
TINY = "--total-timesteps 2000 --eval-interval 1000 --num-envs 10".split()


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Call the script's own parse() and main() in an empty folder; returns the rows of the new metrics.csv."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)

    def call(script, *argv):
        monkeypatch.setattr(sys, "argv", [script.__file__, "--wandb-mode", "disabled", *map(str, argv)])
        script.main(script.parse())
        return read(newest_run(tmp_path))

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def newest_run(folder="."):
    return max(Path(folder, "runs").iterdir(), key=lambda path: path.name.split("__")[-1])


def read(run_folder):
    with open(run_folder / "metrics.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def load(script, run_folder):
    """Arguments, environment and networks of a run, from its model.pt alone."""
    model = torch.load(run_folder / "model.pt", map_location="cpu")
    args = script.Args(**model["args"])
    env = envs.make(args.env, 1, 0, **args.env_args)
    networks = script.make_networks(env, args)
    for name, network in networks.items():
        network.load_state_dict(model[name])
    return args, env, networks


def start(script, *argv, cwd, **environment):
    """The script in a process group of its own, as a terminal would start it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    command = [sys.executable, script.__file__, *map(str, argv)]
    return subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipe)


def wait_for_lines(process, folder, n):
    """Wait until the run in `folder` has logged n lines."""
    for _ in range(600):
        logs = list(folder.glob("runs/*/metrics.csv"))
        if logs and logs[0].read_text().count("\n") > n:
            return logs[0]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError("nothing was logged in a minute")


# --- every algorithm on every environment ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script, argv, name",
    [
        (iql, "", "predator_prey__iql__1__"),
        (vdn, "--env matrix_game --exp-name my-vdn --seed 7", "matrix_game__my-vdn__7__"),
        (qmix, "--env gaussian_squeeze --env-args observation own", "gaussian_squeeze-observation=own__qmix__1__"),
        (qtran, "--env-args penalty 1.5 view 2", "predator_prey-penalty=1.5-view=2__qtran-alt__1__"),
    ],
    ids=["iql", "vdn", "qmix", "qtran"],
)
def test_as_a_user_would(script, argv, name, tmp_path):
    argv = [*argv.split(), *TINY]
    process = start(script, *argv, cwd=tmp_path)
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (0, "")
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(re.escape(name) + r"\d{8}-\d{6}-\d{6}", folder.name)
    first, *_, progress, last = stdout.splitlines()
    assert first.endswith(f"logs in runs/{folder.name}, W&B: wandb sync runs/{folder.name}/wandb/*-run-*")
    assert len(list(tmp_path.glob(first.partition("wandb sync ")[2]))) == 1
    assert re.fullmatch(
        r"step 2,000 of 2,000, train return \S+, eval return \S+, [\d,]+ steps/s, 0:00:00 left", progress
    )
    assert last == f"see runs/{folder.name}/metrics.csv"  # there is no benchmark/ in this folder
    assert [row["global_step"] for row in read(folder)] == [1000, 2000]

    config = json.loads((folder / "config.json").read_text())
    args, *_ = load(script, folder)
    algo = "qtran-alt" if script is qtran else script.__name__
    assert config == {"algo": algo, **asdict(args), "command": [script.__file__, *argv]}
    assert wandb_file(folder) == ([1000, 2000], 0)
    assert {path.name for path in folder.iterdir()} == {"config.json", "metrics.csv", "model.pt", "wandb"}
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def wandb_file(run_folder):
    """The values of global_step and the exit code that the W&B file of a run holds."""
    (path,) = run_folder.glob("wandb/offline-run-*/run-*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", path]
    lines = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    (exit_code,) = [record["exit"].get("exit_code", 0) for record in records if record["type"] == "exit"]
    return [x["history"]["item"]["global_step"] for x in records if x["type"] == "history"], exit_code


@each_algorithm
@pytest.mark.parametrize(
    "env, recurrent", [*((env, "--no-recurrent") for env in envs.ENVS), ("predator_prey", "--recurrent")]
)
def test_every_algorithm_on_every_environment(run, algo, env, recurrent):
    rows = run(*ALGORITHMS[algo], "--env", env, recurrent, *TINY)
    assert [row["global_step"] for row in rows] == [1000, 2000]
    assert np.isfinite([list(row.values()) for row in rows]).all()
    names = "global_step charts/seconds charts/SPS charts/epsilon charts/episodic_return eval/return_mean "
    names += "eval/return_std losses/td losses/grad_norm values/q_taken values/target "
    own = {"iql": "", "vdn": "values/q_tot", "qmix": "values/q_tot"}
    qtran_names = "losses/opt losses/nopt values/q_jt values/q_prime values/v_jt values/abs_d_greedy values/d_negative"
    assert rows[0].keys() == set((names + own.get(algo, qtran_names)).split())


def test_authors_form_of_qtran_runs(run):
    rows = run(qtran, "--variant", "base", "--td-target", "factored", "--no-value-net", *TINY)
    assert np.isfinite([list(row.values()) for row in rows]).all()
    assert all(row["values/v_jt"] == 0 and 0 < row["values/d_negative"] < 1 for row in rows)


def test_environment_of_ones_own(run):
    argv = ["--env", "test_algorithms:Ragged", "--env-args", "pay", 2, "--total-timesteps", 200]
    rows = run(vdn, *argv, "--eval-interval", 100)
    assert np.isfinite([list(row.values()) for row in rows]).all()
    # 8 copies and 32 in evaluation: 1, 2 and 3 steps, and all others reach the limit of 4; a reward of 2 for each step
    assert [row["global_step"] for row in rows] == [4 * (1 + 2 + 3 + 5 * 4), 8 * (1 + 2 + 3 + 5 * 4)]
    assert rows[-1]["eval/return_mean"] == pytest.approx(2 * (1 + 2 + 3 + 29 * 4) / 32)
    assert newest_run().name.startswith("test_algorithms.Ragged-pay=2__vdn__1__")


def test_options_of_the_environment_reach_it(run, monkeypatch):
    made, make = [], envs.make
    monkeypatch.setattr(envs, "make", lambda *args, **options: made.append(make(*args, **options)) or made[-1])
    run(vdn, *TINY, "--env-args", "penalty", 1.5, "n_prey", 2, "n_predators", 4, "grid_size", 7, "view", 1)
    assert [env.num_envs for env in made] == [10, 32]
    for env in made:
        assert (env.penalty, env.n_agents, env.n_entities, env.grid_size, env.view) == (1.5, 4, 6, 7, 1)


def test_name_of_the_experiment_is_made_fit_for_a_folder(run):
    run(vdn, "--env", "matrix_game", *TINY, "--exp-name", "../a name: 50 %")
    assert newest_run().name.startswith("matrix_game__...a.name..50..__1__")
    run(vdn, "--env", "matrix_game", *TINY, "--exp-name", 300 * "ü")
    assert newest_run().name.startswith(f"matrix_game__{100 * '.'}__1__")


def test_our_own_games_do_without_other_envs_and_others_say_what_they_need(tmp_path):
    for source in (vdn.__file__, envs.__file__):
        shutil.copy(source, tmp_path)
    script = SimpleNamespace(__file__=tmp_path / "vdn.py")
    process = start(script, "--env", "matrix_game", *TINY, "--wandb-mode", "disabled", cwd=tmp_path)
    assert process.communicate(timeout=300)[1] == "" and process.returncode == 0
    process = start(script, "--env", "my_module:MyEnv", cwd=tmp_path)
    _, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (
        2,
        "vdn.py: error: environment my_module:MyEnv needs other_envs.py beside envs.py\n",
    )


def test_renamed_copy_runs_and_logs_under_its_own_name(tmp_path):
    for source, name in ((vdn.__file__, "my_vdn.py"), (envs.__file__, "envs.py")):
        (tmp_path / name).write_text(Path(source).read_text())
    (tmp_path / "elsewhere").mkdir()
    argv = [sys.executable, tmp_path / "my_vdn.py", "--env", "matrix_game", *TINY]
    subprocess.run(argv, cwd=tmp_path / "elsewhere", check=True, capture_output=True)
    folder = newest_run(tmp_path / "elsewhere")
    assert folder.name.startswith("matrix_game__my_vdn__1__")
    assert json.loads((folder / "config.json").read_text())["algo"] == "my_vdn"


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.fixture
def parse(monkeypatch):
    def call(argv, script=vdn):
        monkeypatch.setattr(sys, "argv", [script.__file__, *argv.split()])
        return script.parse()

    return call


def test_defaults_depend_on_the_environment_and_the_agents_and_give_way(parse):
    assert parse("") == vdn.Args()
    assert (parse("--recurrent").window, parse("--recurrent --window 9").window) == (100, 9)
    game = parse("--env two_step_game --gamma 0.5 --recurrent")
    assert (game.gamma, game.total_timesteps, game.window, game.start_e, game.end_e) == (0.5, 20_000, 2, 1, 1)
    assert parse("--env matrix_game").eval_interval == 20_000
    for script in (iql, vdn, qmix, qtran):
        for env in ("pettingzoo:a.b", "gymnasium:a:b", "my_module:MyEnv"):
            args = parse(f"--env {env} --num-envs 3", script)
            assert (args.num_envs, args.gamma, args.window, args.double_q) == (3, 0.9, 1, True)
            assert args.standardise_rewards
    args = parse("--env my_module:MyEnv --recurrent --no-standardise-rewards")
    assert (args.window, args.gamma, args.standardise_rewards) == (100, 0.9, False)


def test_values_of_env_args_are_numbers_truths_or_words(parse):
    env_args = parse("--env-args a 1 b 1.5 c True d full --seed 3").env_args
    assert env_args == {"a": 1, "b": 1.5, "c": True, "d": "full"}
    assert [type(value) for value in env_args.values()] == [int, float, bool, str]


def test_help_names_every_argument_with_the_defaults_of_the_environment(parse, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--env two_step_game --help", qtran)
    text = " ".join(re.sub("[│╭╰─╮╯]", " ", capsys.readouterr().out).split())
    assert stopped.value.code == 0
    for field in fields(qtran.Args):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "(default: 20000)" in text and " ".join(qtran.__doc__.split("\n\n")[0].split()) in text


@pytest.mark.parametrize("script", [iql, vdn, qmix, qtran], ids=lambda script: script.__name__)
def test_numbers_out_of_range_are_refused(parse, script, capsys):
    numbers = [field for field in fields(script.Args) if field.type in (int, float) and field.name != "seed"]
    assert len(numbers) >= 15
    for field in numbers:
        option = f"--{field.name.replace('_', '-')}"
        for value in ("0", "-1") if field.type is int else ("-0.1", "nan", "inf"):
            with pytest.raises(SystemExit) as stopped:
                parse(f"{option} {value}", script)
            low = {int: "1", float: "1e-06" if field.name == "max_grad_norm" else "0"}[field.type]
            (line,) = capsys.readouterr().err.splitlines()
            assert re.fullmatch(
                rf"{script.__name__}.py: error: {option} must be in \[{low}, \d+\], got {value}(\.0)?", line
            )
            assert stopped.value.code == 2


@pytest.mark.parametrize(
    "argv, message",
    [
        ("--env chess", "environment must be one of matrix_game, two_step_game, gaussian_squeeze, predator_prey"),
        ("--env seed", "environment must be one of"),
        ("--env no_such_module:Env", "environment no_such_module:Env cannot be imported"),
        ("--gamma 1.1", "--gamma must be in [0, 1], got 1.1"),
        ("--start-e 2", "--start-e must be in [0, 1], got 2.0"),
        ("--end-e 2", "--end-e must be in [0, 1], got 2.0"),
        ("--exploration-fraction 2", "--exploration-fraction must be in [0, 1], got 2.0"),
        ("--seed -1", "--seed must be in [0, 4294967295], got -1"),
        (
            "--total-timesteps 10000000000000000000000",
            "--total-timesteps must be in [1, 1000000000000], got 1000000000",
        ),
        ("--env matrix_game --env-args penalty 1", "matrix_game has no option 'penalty', it has: none"),
        ("--env-args speed 1", "no option 'speed', it has: penalty, grid_size, n_predators, n_prey, view"),
        ("--env-args penalty high", "predator_prey: penalty must be a number of at least 0, got 'high'"),
        ("--env-args view 0", "predator_prey: view must be an integer of at least 1, got 0"),
        ("--env-args n_predators 30", "predator_prey: n_predators + n_prey must be at most 25"),
        ("--env-args seed 3", "predator_prey has no option 'seed', it has: penalty, "),
        ("--env-args num_envs 3", "predator_prey has no option 'num_envs', it has: penalty, "),
        ("--max-grad-norm 0", "--max-grad-norm must be in [1e-06, 1000000000000], got 0.0"),
        (
            "--standardise-rewards",
            "--standardise-rewards needs an environment of other_envs.py, got --env predator_prey",
        ),
        pytest.param(
            "--cuda",
            "--cuda needs a GPU and a CUDA build of torch",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
        ),
    ],
)
def test_mistakes_end_with_one_line_before_anything_is_created(run, argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(vdn, *TINY, *argv.split())  # should it not be refused, this ends soon
    stdout, stderr = capsys.readouterr()
    (line,) = stderr.splitlines()
    assert line.startswith("vdn.py: error: ") and message in line
    assert (stopped.value.code, stdout, list(Path.cwd().iterdir())) == (2, "", [])


@pytest.mark.parametrize(
    "argv",
    ["--total-timesteps 1.5", "--total-timesteps 1e6", "--no-such-thing 1", "--variant 2", "--env-args penalty"],
)
def test_malformed_arguments_are_named(run, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(qtran, *argv.split())
    stdout, stderr = capsys.readouterr()
    assert argv.split()[0] in stderr
    assert (stopped.value.code, stdout, list(Path.cwd().iterdir())) == (2, "", [])


class Typed:
    """Observations, states and rewards have the type it is told, and its limit a small one."""

    n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 3, 4, 5, np.int8(20)

    def __init__(self, num_envs, seed, dtype):
        self.num_envs, self.dtype = num_envs, dtype
        self.avail_actions = np.ones((num_envs, 2, 3), bool)

    def reset(self):
        return np.ones((self.num_envs, 2, 4), self.dtype), np.ones((self.num_envs, 5), self.dtype)

    def step(self, actions):
        return *self.reset(), np.ones(self.num_envs, self.dtype), np.zeros(self.num_envs, bool)


@each_algorithm
@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "bool"])
def test_environments_of_any_type_of_numbers(run, algo, dtype):
    script, *variant = ALGORITHMS[algo]
    options = ["--env", f"{__name__}:Typed", "--env-args", "dtype", dtype]
    rows = run(script, *variant, *options, "--total-timesteps", 400, "--eval-interval", 200, "--num-envs", 4)
    assert [row["eval/return_mean"] for row in rows] == [20, 20] and rows[-1]["losses/td"] > 0


def test_mistakes_as_a_process(tmp_path):
    process = start(vdn, "--gamma", 2, cwd=tmp_path)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (2, "vdn.py: error: --gamma must be in [0, 1], got 2.0\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "key, message", [("", "`wandb login`"), ("0" * 40, "127.0.0.1:9")], ids=["no key", "no network"]
)
def test_online_without_key_or_network_is_one_line_and_leaves_no_run(key, message, tmp_path):
    """Port 9 refuses at once. W&B itself may say something about the key."""
    (tmp_path / "home").mkdir()
    environment = dict(HOME=str(tmp_path / "home"), WANDB_API_KEY=key, WANDB_BASE_URL="http://127.0.0.1:9")
    process = start(vdn, "--env", "matrix_game", *TINY, "--wandb-mode", "online", cwd=tmp_path, **environment)
    stdout, stderr = process.communicate(timeout=180)
    (line,) = [line for line in stderr.splitlines() if "error" in line]
    assert line.startswith("vdn.py: error: W&B online: ") and message in line
    assert (process.returncode, stdout, list(tmp_path.glob("runs/*"))) == (2, "", [])


# --- updates, exploration and the log -------------------------------------------------------------------------------


@pytest.fixture
def recorded(monkeypatch):
    """Every rollout and update of a run of vdn; the weights and the last gradient are those before the update."""
    calls = SimpleNamespace(train=[], eval=[], updates=[], left=[])
    rollout, compute_loss, zero_grad = vdn.rollout, vdn.compute_loss, torch.optim.Adam.zero_grad

    def record_rollout(env, agent, epsilon, rng, device):
        episodes = rollout(env, agent, epsilon, rng, device)
        score = episodes.reward.sum(axis=0)
        played = SimpleNamespace(epsilon=epsilon, episodes=episodes, score=score, n_updates=len(calls.updates))
        (calls.eval if env.num_envs == 32 else calls.train).append(played)
        return episodes

    def record_update(networks, target_networks, batch, args):
        loss, metrics = compute_loss(networks, target_networks, batch, args)
        gradient = torch.autograd.grad(loss, [*networks.parameters()], retain_graph=True)
        calls.updates.append(
            SimpleNamespace(
                batch=batch,
                loss=loss.item(),
                gradient=parameters_to_vector(gradient),
                left=parameters_to_vector(calls.left) if calls.left else None,
                online=parameters_to_vector(networks.parameters()).detach(),
                target=parameters_to_vector(target_networks.parameters()),
            )
        )
        return loss, metrics

    def record_zero_grad(optimizer):
        parameters = optimizer.param_groups[0]["params"]
        calls.left = [parameter.grad for parameter in parameters if parameter.grad is not None]  # by the update before
        zero_grad(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "zero_grad", record_zero_grad)
    monkeypatch.setattr(vdn, "rollout", record_rollout)
    monkeypatch.setattr(vdn, "compute_loss", record_update)
    return calls


SHORT = "--env gaussian_squeeze --num-envs 10 --total-timesteps 100 --eval-interval 40 --train-frequency 5".split()
SHORT += ["--batch-size", "8"]


def test_epsilon_falls_linearly_from_start_to_end_and_is_zero_in_evaluation(run, recorded):
    rows = run(vdn, *SHORT, "--start-e", 0.8, "--end-e", 0.2, "--exploration-fraction", 0.4)
    expected = [0.8, 0.65, 0.5, 0.35, *[0.2] * 6]
    assert [played.epsilon for played in recorded.train] == pytest.approx(expected)
    assert [played.epsilon for played in recorded.eval] == [0, 0, 0]
    assert [row["charts/epsilon"] for row in rows] == pytest.approx([0.35, 0.2, 0.2])


def test_log_says_what_was_played_and_learned_since_the_last_line(run, recorded):
    rows = run(vdn, *SHORT, "--max-grad-norm", 0.01)  # the norm is logged as it was before clipping
    assert [row["global_step"] for row in rows] == [40, 80, 100]
    assert [played.n_updates for played in recorded.train] == [*range(0, 20, 2)]  # an update for every five steps
    for row, played, start, end in zip(rows, recorded.eval, (0, 4, 8), (4, 8, 10), strict=True):
        assert row["eval/return_mean"] == pytest.approx(played.score.mean())
        assert row["eval/return_std"] == pytest.approx(played.score.std())
        score = np.concatenate([played.score for played in recorded.train[start:end]])
        assert row["charts/episodic_return"] == pytest.approx(score.mean())
        updates = recorded.updates[2 * start : 2 * end]
        assert row["losses/td"] == pytest.approx(np.mean([update.loss for update in updates]))
        assert row["losses/grad_norm"] == pytest.approx(np.mean([update.gradient.norm() for update in updates]))


def test_every_line_of_the_log_is_complete_however_rare_the_updates(run):
    rows = run(vdn, "--env", "matrix_game", *TINY, "--eval-interval", 100, "--train-frequency", 700)
    assert [row["global_step"] for row in rows] == list(range(700, 2001, 100))
    assert np.isfinite([list(row.values()) for row in rows]).all()


@pytest.mark.parametrize("standardise", [False, True])
def test_rewards_are_standardised_by_what_was_played_so_far(run, recorded, standardise):
    argv = "--num-envs 2 --total-timesteps 1000 --eval-interval 1000 --train-frequency 100 --batch-size 64".split()
    run(vdn, "--env", "envs:PredatorPrey", *argv, *["--no-standardise-rewards"] * (not standardise))
    recent_mean, played = 0, []
    for n_rounds, rollout in enumerate(recorded.train, start=1):
        reward = rollout.episodes.reward.ravel().astype(float)
        played.extend(reward)
        recent_mean += max(1 / 100, 1 / n_rounds) * (reward.mean() - recent_mean)
        possible = (np.unique(played) - recent_mean) / np.std(played) if standardise else np.unique(played)
        for update in recorded.updates[2 * n_rounds - 2 : 2 * n_rounds]:
            learned = update.batch.reward.numpy().ravel()
            assert np.abs(learned[:, None] - possible).min(axis=1).max() < 1e-5
            assert len(np.unique(learned)) > 1


def test_rewards_that_are_all_alike_are_not_scaled_and_no_mean_is_taken_once_a_game_has_ended(run, recorded):
    argv = ["--env", "test_algorithms:Ragged", "--env-args", "pay", -0.3, "--total-timesteps", 200]
    run(vdn, *argv, "--eval-interval", 200)
    for update in recorded.updates:
        assert update.batch.reward[update.batch.mask].numpy() == pytest.approx(-0.3)


def test_a_time_limit_is_no_end_in_what_is_learned_from(run, recorded):
    argv = "--num-envs 2 --total-timesteps 600 --eval-interval 600 --train-frequency 20".split()
    run(vdn, *argv, "--window", 100, "--batch-size", 2)
    assert recorded.updates and not any(update.batch.terminated.any() for update in recorded.updates)


def test_evaluation_has_as_many_episodes_as_asked_for(run, monkeypatch):
    made, make = [], envs.make
    monkeypatch.setattr(envs, "make", lambda *args, **options: made.append(make(*args, **options)) or made[-1])
    run(vdn, *TINY, "--eval-episodes", 5)
    assert [env.num_envs for env in made] == [10, 5]


@pytest.mark.parametrize("window, length", [(1, 1), (2, 2), (50, 2)])
def test_window_is_what_an_update_learns_from(run, recorded, window, length):
    run(vdn, *SHORT, "--env", "two_step_game", "--window", window)
    shapes = {tuple(update.batch.reward.shape) for update in recorded.updates}
    assert shapes == {(length, 8)}  # an episode of this game has two steps


def test_target_networks_are_copied_at_every_third_update(run, recorded):
    run(vdn, *SHORT, "--target-network-frequency", 3)
    for k, update in enumerate(recorded.updates):  # after k updates
        if k % 3 == 0:
            target = update.online
        assert torch.equal(update.target, target)
        assert k % 3 == 0 or not torch.equal(update.target, update.online)
    assert len(recorded.updates) == 20


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_gradients_are_those_of_the_last_batch_clipped(run, recorded, limit):
    run(vdn, *SHORT, "--max-grad-norm", limit)
    for before, after in zip(recorded.updates, recorded.updates[1:]):
        assert 0.01 < before.gradient.norm() < 1e6
        torch.testing.assert_close(after.left, before.gradient * min(limit / before.gradient.norm().item(), 1))


@pytest.mark.parametrize("learning_rate", [1e-3, 1e-2])
def test_first_step_of_adam_is_the_learning_rate_against_the_gradient(run, recorded, learning_rate):
    run(vdn, *SHORT, "--learning-rate", learning_rate)
    first, second = recorded.updates[:2]
    large = first.gradient.abs() > 1e-4  # against Adam's eps
    assert large.float().mean() > 0.1
    step = (second.online - first.online)[large]
    torch.testing.assert_close(step, -learning_rate * first.gradient[large].sign(), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("buffer_size, n_rows", [(1234, 12 * 101), (500, 10 * 101)])
def test_buffer_holds_as_many_steps_as_it_says_or_one_round_of_episodes(run, monkeypatch, buffer_size, n_rows):
    buffers, make = [], vdn.ReplayBuffer
    monkeypatch.setattr(vdn, "ReplayBuffer", lambda n_rows: buffers.append(make(n_rows)) or buffers[-1])
    run(vdn, *TINY, "--buffer-size", buffer_size)  # of episodes of 100 steps
    assert len(buffers[0].rows) == n_rows


# --- same seed, same run --------------------------------------------------------------------------------------------


@both_agents
def test_same_seed_same_log(run, recurrent):
    argv = [*TINY, recurrent, "--train-frequency", 50, "--batch-size", 8, "--window", 10]
    logs = [
        [{name: x for name, x in row.items() if name not in TIME_COLUMNS} for row in run(vdn, *argv)] for _ in range(2)
    ]
    assert len(logs[0]) == 2 and logs[0] == logs[1]


def test_seed_reaches_environments_exploration_and_weights(run, recorded, monkeypatch):
    seeds, make = [], envs.make
    monkeypatch.setattr(
        envs, "make", lambda name, n, seed, **options: seeds.append(seed) or make(name, n, seed, **options)
    )
    for seed in (1, 2):
        run(vdn, *SHORT, "--seed", seed)
    assert len(set(seeds)) == 4  # those of evaluation are others
    assert (recorded.train[0].episodes.actions != recorded.train[10].episodes.actions).any()
    assert (recorded.updates[0].online != recorded.updates[20].online).any()


def test_evaluating_more_often_changes_nothing_in_training(run):
    weights = []
    for interval in (500, 2000):
        run(vdn, *TINY, "--eval-interval", interval)
        weights.append(parameters_to_vector(load(vdn, newest_run())[2].parameters()))
    assert torch.equal(*weights)


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
def test_compiled_runs_are_the_same_and_like_the_plain_one(run):
    argv = ["--env", "two_step_game", "--total-timesteps", 400, "--eval-interval", 200, "--num-envs", 10]
    plain, first, second = (
        [{name: x for name, x in row.items() if name not in TIME_COLUMNS} for row in run(vdn, *argv, *compiled)]
        for compiled in ([], ["--compile"], ["--compile"])
    )
    assert len(first) == 2 and first == second
    for row, of_plain in zip(first, plain):
        assert row == pytest.approx(of_plain, rel=1e-4)


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
def test_compiled_updates_on_windows_of_different_lengths(run):
    rows = run(vdn, "--env", "test_runs:Uneven", "--compile", "--window", 4, "--batch-size", 2, *TINY)
    assert np.isfinite([*rows[-1].values()]).all()


def test_compile_without_a_compiler_is_refused(run, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SystemExit) as stopped:
        run(vdn, *TINY, "--compile")
    assert stopped.value.code == 2 and not Path("runs").exists()
    assert "--compile needs a C++ compiler, and there is no no-such-compiler" in capsys.readouterr().err


# --- learning, against closed forms ---------------------------------------------------------------------------------

PAYOFF = envs.MatrixGame.payoff
ROW, MEAN = PAYOFF.mean(axis=1), PAYOFF.mean()


def values_of_joint_actions(script, metric, obs=(1,)):
    """The metric of the newest run for every joint action of a two-player game where this is observation and state."""
    args, env, networks = load(script, newest_run())
    n = env.n_actions
    state = torch.tensor(obs).float()
    inputs = torch.hstack([state.expand(2, -1), torch.eye(2)]).expand(2, 1, -1, -1)
    true, available = torch.ones(1, 1, dtype=torch.bool), torch.ones(2, 1, 2, n, dtype=torch.bool)
    values = np.zeros((n, n))
    for u in product(range(n), repeat=2):
        actions = torch.tensor(u).expand(1, 1, 2)
        batch = script.Batch(inputs, state.expand(2, 1, -1), available, actions, torch.zeros(1, 1), true, true)
        values[u] = script.compute_loss(networks, networks, batch, args)[1][metric].item()
    return values


@each_algorithm
@pytest.mark.parametrize("seed", [1, 2])
def test_matrix_game(run, algo, seed):
    """Under uniform exploration IQL learns means, VDN the closest sum, QMIX the closest monotonic table, QTRAN all."""
    quick = "--total-timesteps 100_000 --train-frequency 80 --learning-rate 5e-4 --batch-size 128".split()
    script, *variant = ALGORITHMS[algo]
    rows = run(script, *variant, "--env", "matrix_game", "--seed", seed, *quick)
    assert rows[-1]["eval/return_mean"] == (8 if script is qtran else 0)
    metric, expected = {
        "iql": ("values/q_taken", (ROW[:, None] + ROW) / 2),  # the mean of both agents' values
        "vdn": ("values/q_tot", ROW[:, None] + ROW - MEAN),
        "qmix": ("values/q_tot", [[-8, -8, -8], [-8, 0, 0], [-8, 0, 0]]),  # the mean of 8 and four times -12
    }.get(algo, ("values/q_jt", PAYOFF))
    close = 1 if algo == "qmix" else 0.5  # in a quick run
    assert values_of_joint_actions(script, metric) == pytest.approx(np.array(expected), abs=close)
    if script is qtran:
        q_jt, q_prime, v_jt = (
            values_of_joint_actions(script, f"values/{name}") for name in ("q_jt", "q_prime", "v_jt")
        )
        d = q_prime - q_jt + v_jt
        assert d.min() > -0.2 and d[0, 0] == pytest.approx(0, abs=0.2)


@each_algorithm
def test_two_step_game(run, algo):
    """The values of the first step are .99 times the best of the second, which is what the algorithm makes of it."""
    script, *argv = ALGORITHMS[algo]
    argv += ["--joint-dim", 64] if script is qtran else []
    rows = run(script, *argv, "--env", "two_step_game")
    assert rows[-1]["eval/return_mean"] == (7 if algo in ("iql", "vdn") else 8)
    metric, in_2b = {
        "iql": ("values/q_taken", [[0.5, 2.5], [2.5, 4.5]]),
        "vdn": ("values/q_tot", [[-1.5, 2.5], [2.5, 6.5]]),
        "qmix": ("values/q_tot", [[0, 1], [1, 8]]),
    }.get(algo, ("values/q_jt", [[0, 1], [1, 8]]))
    after_0, after_1 = 0.99 * 7, 0.99 * np.max(in_2b)
    first = np.array([[after_0, after_0], [after_1, after_1]])
    if algo == "iql":  # the second agent cannot tell what follows, and its value counts for half of the mean
        first = (first + (after_0 + after_1) / 2) / 2
    close = 1.2 if script is qtran else 0.5  # L_opt and L_nopt keep moving the features that Q_jt is made of
    assert values_of_joint_actions(script, metric, (1, 0, 0)) == pytest.approx(first, abs=close)
    assert values_of_joint_actions(script, metric, (0, 1, 0)) == pytest.approx(np.full((2, 2), 7), abs=close)
    assert values_of_joint_actions(script, metric, (0, 0, 1)) == pytest.approx(np.array(in_2b), abs=close)


# --- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_interrupted_run_keeps_what_it_has_logged(number, code, tmp_path):
    argv = ["--env", "matrix_game", "--total-timesteps", 10**9, "--eval-interval", 200]
    process = start(vdn, *argv, cwd=tmp_path)
    log = wait_for_lines(process, tmp_path, 5)
    os.killpg(process.pid, number)  # the whole group, as Ctrl-C in a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert ("what was logged is in runs/" in stdout) == (number != signal.SIGKILL)
    assert log.read_text().endswith("\n")
    rows = read(log.parent)
    assert len(rows) >= 5 and rows[-1]["global_step"] == 200 * len(rows)
    assert torch.load(log.parent / "model.pt")["global_step"] in (200 * len(rows), 200 * len(rows) - 200)
    if number != signal.SIGKILL:  # W&B has all of it, but perhaps for a line during which the signal came
        (in_wandb, exit_code), in_csv = wandb_file(log.parent), [row["global_step"] for row in rows]
        assert in_wandb in (in_csv, in_csv[:-1]) and exit_code == 1


def test_loss_that_is_not_finite_stops_the_run(run, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(vdn, "--env", "matrix_game", "--learning-rate", 1e12, "--max-grad-norm", 1e12)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "not finite at step 400" in line and "last logged" in line


@pytest.fixture
def full_at(request):
    """No file can become longer than that many bytes: a disk that is full in the middle of a write."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("full_at", [30_000], indirect=True)
def test_full_disk_leaves_the_last_model_and_every_line_of_the_log(full_at, run):
    run(vdn, "--env", "matrix_game", *TINY)
    whole = newest_run()
    networks = vdn.make_networks(envs.make("matrix_game", 1, 0), vdn.Args(hidden_dim=512))
    before, row = (whole / "model.pt").read_bytes(), read(whole)[-1]
    with pytest.raises((OSError, RuntimeError)):
        vdn.log(whole, SimpleNamespace(log=lambda row: None), row, networks, vdn.Args())
    assert (whole / "model.pt").read_bytes() == before and read(whole)[-1] == row == read(whole)[-2]


def test_wandb_mode_of_the_environment_is_the_default(parse, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert parse("").wandb_mode == "disabled" and parse("--wandb-mode offline").wandb_mode == "offline"
    for unknown in ("Offline", "online ", "dryrun"):
        monkeypatch.setenv("WANDB_MODE", unknown)
        with pytest.raises(SystemExit, match="2"):
            parse("")
        error = " ".join(capsys.readouterr().err.split("│"))
        assert f"invalid choice {unknown!r} for argument '--wandb-mode'" in " ".join(error.split())


class Uneven(envs.MatrixGame):
    """A copy ends with a chance of a half at every step, after four at the latest."""

    episode_limit = 4

    def __init__(self, num_envs, seed):
        super().__init__(num_envs, seed)
        self.rng = np.random.default_rng(seed)

    def step(self, actions):
        obs, state, reward, _ = super().step(actions)
        return obs, state, reward, self.rng.random(self.num_envs) < 0.5


class Changing(envs.MatrixGame):
    """Changes the actions that it is given."""

    def step(self, actions):
        actions += 1
        return super().step(actions - 1)


class Failing(envs.MatrixGame):
    """Returns a reward that is not finite, or fails, at the ninth step of one of its objects."""

    def __init__(self, num_envs, seed, how="nan"):
        super().__init__(num_envs, seed)
        self.how, self.n_steps = how, 0

    def step(self, actions):
        self.n_steps += 1
        obs, state, reward, terminated = super().step(actions)
        if self.n_steps == 9 and self.how == "error":
            raise ValueError("no ninth step")
        return obs, state, reward * (np.nan if self.n_steps == 9 else 1), terminated

    def close(self):
        print("closed")


@pytest.mark.parametrize("how, error", [("nan", SystemExit), ("error", ValueError)])
def test_an_environment_that_fails_during_the_run_is_named_and_closed(how, error, run, capsys):
    with pytest.raises(error) as stopped:
        run(vdn, "--env", "test_runs:Failing", "--env-args", "how", how, "--num-envs", 10)
    stdout, stderr = capsys.readouterr()
    (line,) = stderr.splitlines()
    if how == "nan":
        assert stopped.value.code == 2 and "test_runs:Failing: reward of copy 0 is not finite at step 1" in line
    else:
        assert line == "error inside environment test_runs:Failing, in step():"
    assert "stopped at step 80, what was logged is in runs/" in stdout and stdout.count("closed\n") == 2


def test_what_is_stored_is_what_was_chosen():
    env = envs.make("test_runs:Changing", 50, 0)
    agent = vdn.Agent(env, 8, False)
    actions = vdn.rollout(env, agent, 1.0, np.random.default_rng(0), torch.device("cpu")).actions
    assert set(actions.flatten()) == {0, 1, 2}


def test_environments_are_closed_where_the_run_cannot_begin(run, monkeypatch, capsys):
    def fail(args):
        raise OSError("no folder")

    monkeypatch.setattr(vdn, "open_run", fail)
    with pytest.raises(OSError, match="no folder"):
        run(vdn, "--env", "test_runs:Failing")
    assert capsys.readouterr().out == "closed\nclosed\n"


def test_the_last_line_is_a_command_where_the_benchmark_can_be_run(run, capsys, tmp_path):
    (tmp_path / "benchmark").symlink_to(Path(vdn.__file__).parent / "benchmark")
    run(vdn, "--env", "matrix_game", *TINY)
    *_, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"python -m benchmark show runs/matrix_game\S+", last)
    done = subprocess.run([sys.executable, *last.split()[1:]], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0 and "payoff" in done.stdout, done.stderr


def test_a_pipe_that_nobody_reads_does_not_end_the_run(tmp_path):
    process = start(vdn, "--env", "matrix_game", "--wandb-mode", "disabled", *TINY, cwd=tmp_path)
    assert process.stdout.readline().startswith("vdn on matrix_game")
    process.stdout.close()  # as `| head -1` does
    assert (process.wait(timeout=300), process.stderr.read()) == (0, "")
    assert read(newest_run(tmp_path))[-1]["global_step"] == 2000


class SlowToClose(envs.MatrixGame):
    def close(self):
        print("closing", flush=True)
        time.sleep(1)
        print("closed", flush=True)


def test_a_second_sigterm_changes_nothing(tmp_path):
    argv = ["--env", "test_runs:SlowToClose", "--eval-interval", 10, "--num-envs", 10]
    process = start(vdn, *argv, cwd=tmp_path, PYTHONPATH=str(Path(__file__).parent))
    wait_for_lines(process, tmp_path, 1)
    process.terminate()
    while process.stdout.readline() != "closing\n":
        pass
    process.terminate()
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout, stderr) == (143, "closed\nclosing\nclosed\n", "")
    assert len(list(tmp_path.glob("runs/*/wandb/*-run-*/*.wandb"))) == 1


def test_help_fits_into_the_narrowest_terminal(tmp_path):
    process = start(vdn, "--help", cwd=tmp_path, COLUMNS="1")
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (0, "")
    assert {len(line) for line in stdout.splitlines() if line[0:1] in "╭│╰" and line} == {60}


class Cue(envs.MatrixGame):
    """In the first of two steps one action is available to each agent, in the second it has to be taken once more.

    Which one is drawn anew in every episode, and cannot be observed: only an agent's own last action tells.
    """

    episode_limit, n_actions, state_dim = 2, 3, 1

    def __init__(self, num_envs, seed):
        super().__init__(num_envs, seed)
        self.rng = np.random.default_rng(seed)

    def reset(self):
        self.cue, self.t = self.rng.integers(3, size=(self.num_envs, 2)), 0
        self.avail_actions = np.eye(3, dtype=bool)[self.cue]
        return np.zeros((self.num_envs, 2, 1), np.float32), np.zeros((self.num_envs, 1), np.float32)

    def step(self, actions):
        self.t += 1
        self.avail_actions = np.ones((self.num_envs, 2, 3), bool)
        reward = (actions == self.cue).mean(1) * (self.t == 2)
        obs, state = np.ones((self.num_envs, 2, 1), np.float32), np.ones((self.num_envs, 1), np.float32)
        return obs, state, reward, np.full(self.num_envs, self.t == 2)


@each_algorithm
@both_agents
def test_a_cue_in_an_agents_last_action_is_learned_by_gru_agents_alone(run, algo, recurrent):
    script, *argv = ALGORITHMS[algo]
    argv += "--env test_runs:Cue --total-timesteps 16000 --eval-interval 16000 --num-envs 50 --hidden-dim 32".split()
    argv += "--learning-rate 3e-3 --train-frequency 40 --target-network-frequency 50 --eval-episodes 200".split()
    final = run(script, recurrent, *argv, "--window", 2, "--batch-size", 128)[-1]["eval/return_mean"]
    assert final > 0.95 if recurrent == "--recurrent" else 0.2 < final < 0.5
