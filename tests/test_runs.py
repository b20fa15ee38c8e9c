"""The scripts as a user runs them: every environment, logs, seeds, interruptions, mistakes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import envs
import iql
import qmix
import qtran
import vdn

ROOT = Path(__file__).resolve().parent.parent
TIME_COLUMNS = {"charts/seconds", "charts/SPS"}
each_script = pytest.mark.parametrize("script", [iql, vdn, qmix, qtran], ids=lambda script: script.__name__)
both_agents = pytest.mark.parametrize("recurrent", ["--no-recurrent", "--recurrent"])
TINY = ["--total-timesteps", "2000", "--eval-interval", "1000", "--num-envs", "10"]


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


def newest_run(folder):
    return max((folder / "runs").iterdir(), key=lambda path: path.name.split("__")[-1])


def read(run_folder):
    with open(run_folder / "metrics.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def command(script, *argv):
    return [sys.executable, script.__file__, *map(str, argv)]


def start(script, *argv, cwd, **environment):
    """The script in a process group of its own, as a terminal would start it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    return subprocess.Popen(command(script, *argv), cwd=cwd, env=environment, start_new_session=True, **pipe)


def wait_for_lines(process, folder, n):
    """Wait until the run in `folder` has logged n lines."""
    for _ in range(600):
        logs = list(folder.glob("runs/*/metrics.csv"))
        if logs and logs[0].read_text().count("\n") > n:
            return logs[0]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError("nothing was logged in a minute")


# --- every script on every environment ------------------------------------------------------------------------------


@each_script
@both_agents
@pytest.mark.parametrize("env", list(envs.ENVS))
def test_as_a_user_would(script, recurrent, env, tmp_path):
    argv = ["--env", env, recurrent, *TINY]
    done = subprocess.run(command(script, *argv), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    last = [line for line in done.stdout.splitlines() if line.startswith("step ")][-1]
    for word in ("2,000", "train return", "eval return", "steps/s", "left"):
        assert word in last
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith(f"{env}__{script.__name__}__1__")
    rows = read(folder)
    assert [row["global_step"] for row in rows] == [1000, 2000]
    assert np.isfinite([list(row.values()) for row in rows]).all()
    config = json.loads((folder / "config.json").read_text())
    algo = "qtran-alt" if script is qtran else script.__name__
    assert (config["algo"], config["env"], config["seed"]) == (algo, env, 1)
    assert config["total_timesteps"] == 2000 and config["versions"]["torch"] == torch.__version__
    assert len(list(folder.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert not (tmp_path / "wandb").exists()


@each_script
def test_metrics_have_the_same_names_in_every_script(run, script):
    names = set(run(script, "--env", "matrix_game", *TINY)[0])
    charts = {f"charts/{name}" for name in ("seconds", "SPS", "epsilon", "episodic_return")}
    shared = {"global_step", "eval/return_mean", "eval/return_std", "losses/td", "losses/grad_norm"}
    shared |= charts | {"values/q_taken", "values/target"}
    qtran_values = "q_jt q_prime v_jt abs_d_greedy d_negative agreement"
    own = {iql: "", vdn: "values/q_tot", qmix: "values/q_tot", qtran: "losses/opt losses/nopt"}[script].split()
    own += [f"values/{name}" for name in qtran_values.split() if script is qtran]
    assert names == shared | set(own)


@pytest.mark.parametrize("variant", ["base", "alt"])
@pytest.mark.parametrize("td_target", ["joint", "factored"])
@pytest.mark.parametrize("value_net", ["--value-net", "--no-value-net"])
def test_every_form_of_qtran_runs(run, variant, td_target, value_net):
    argv = ["--variant", variant, "--td-target", td_target, value_net, "--env", "two_step_game", *TINY]
    rows = run(qtran, *argv)
    assert np.isfinite([list(row.values()) for row in rows]).all()
    assert all((row["values/v_jt"] != 0) == (value_net == "--value-net") for row in rows)
    assert all(0 <= row[f"values/{name}"] <= 1 for row in rows for name in ("agreement", "d_negative"))
    config = json.loads((newest_run(Path.cwd()) / "config.json").read_text())
    assert config["algo"] == f"qtran-{variant}" and config["td_target"] == td_target


@each_script
def test_environment_of_ones_own(run, script):
    rows = run(script, "--env", "test_algorithms:Ragged", "--total-timesteps", 200, "--eval-interval", 100)
    assert np.isfinite([list(row.values()) for row in rows]).all()
    # 32 copies: 1, 2 and 3 steps, and the other 29 reach the limit of 4, with a reward of 1 for each
    assert rows[-1]["eval/return_mean"] == pytest.approx((1 + 2 + 3 + 29 * 4) / 32)


def test_options_of_the_environment_reach_it(run):
    options = ["--predator-prey.n-predators", 4, "--predator-prey.grid-size", 7, "--predator-prey.view", 1]
    run(vdn, "--predator-prey.penalty", 1.5, "--predator-prey.n-prey", 2, *options, *TINY)
    model = torch.load(newest_run(Path.cwd()) / "model.pt")
    assert model["args"]["predator_prey"] == dict(penalty=1.5, grid_size=7, n_predators=4, n_prey=2, view=1)
    assert model["agent"]["encoder.weight"].shape == (128, 2 * 9 + 2 * 7 + 5 + 4)


def test_counts_may_be_written_as_1e3(run):
    assert (
        run(vdn, "--env", "matrix_game", "--total-timesteps", "1e3", "--eval-interval", "5e2")[-1]["global_step"]
        == 1000
    )


def test_renamed_copy_runs_and_logs_under_its_own_name(tmp_path):
    for source, name in ((vdn.__file__, "my_vdn.py"), (envs.__file__, "envs.py")):
        (tmp_path / name).write_text(Path(source).read_text())
    argv = [sys.executable, tmp_path / "my_vdn.py", "--env", "matrix_game", *TINY]
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(argv, cwd=tmp_path / "elsewhere", check=True, capture_output=True)
    assert newest_run(tmp_path / "elsewhere").name.startswith("matrix_game__my_vdn__1__")


@pytest.mark.parametrize("script", ["iql.py", "vdn.py", "qmix.py", "qtran.py"])
def test_help_is_complete_and_does_not_import_torch(script):
    code = f"import runpy, sys; sys.argv = ['{script}', '--help']; runpy.run_path('{script}', run_name='__main__')"
    checked = f"try:\n    {code}\nfinally:\n    assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", checked], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in "--env --seed --total-timesteps --recurrent --predator-prey.penalty --wandb-mode --window".split():
        assert name in done.stdout


# --- learning, against closed forms ---------------------------------------------------------------------------------

PAYOFF = envs.MatrixGame.payoff
each_seed = pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
QUICK = "--total-timesteps 1e5 --train-frequency 80 --learning-rate 1e-3 --batch-size 128".split()


def tables_in(text):
    """Name -> (values, where the stars are) of the tables that a run on a one-step game prints at its end."""
    tables, lines = {}, text.split("\nWhat was learned (rows: actions of agent 1, columns: of agent 2, *: greedy)\n")[1]
    for line in lines.splitlines():
        if line[0] != " ":
            name = line.split()[0]
            tables[name] = []
        tables[name].append(line[8:].split())
    stars = {
        name: [(i, j) for i, row in enumerate(rows) for j, x in enumerate(row) if "*" in x]
        for name, rows in tables.items()
    }
    return {
        name: (np.array([[float(x.strip("*")) for x in row] for row in rows]), stars[name])
        for name, rows in tables.items()
    }


def test_vdn_fits_the_matrix_game_as_least_squares_does(run, capsys):
    rows = run(vdn, "--env", "matrix_game", "--seed", 3)
    assert rows[-1]["eval/return_mean"] == 0
    q_tot, _ = tables_in(capsys.readouterr().out)["q_tot"]
    grand = PAYOFF.mean()
    assert grand == pytest.approx(-4.44, abs=0.01) and PAYOFF.mean(axis=1) == pytest.approx([-5.33, -4, -4], abs=0.01)
    assert q_tot.mean() == pytest.approx(grand, abs=0.1)
    for axis in (0, 1):
        assert q_tot.mean(axis) - q_tot.mean() == pytest.approx(PAYOFF.mean(axis) - grand, abs=0.1)


@each_seed
@pytest.mark.parametrize("variant", ["base", "alt"])
def test_qtran_solves_the_matrix_game(run, capsys, variant, seed):
    rows = run(qtran, "--env", "matrix_game", "--variant", variant, "--seed", seed, *QUICK, "--learning-rate", 5e-4)
    assert rows[-1]["eval/return_mean"] == 8 and rows[-1]["values/agreement"] == 1
    tables = {name: values for name, (values, _) in tables_in(capsys.readouterr().out).items()}
    assert tables["q_jt"] == pytest.approx(PAYOFF, abs=0.2)
    assert (tables["q_prime"] + tables["v_jt"] >= tables["q_jt"] - 0.2).all()
    assert tables["q_prime"][0, 0] + tables["v_jt"] == pytest.approx(8, abs=0.2)


@each_seed
@pytest.mark.parametrize("script", [vdn, qmix], ids=lambda script: script.__name__)
def test_a_sum_and_a_monotonic_mixture_end_at_0_in_the_matrix_game(run, script, seed):
    assert run(script, "--env", "matrix_game", "--seed", seed, *QUICK)[-1]["eval/return_mean"] == 0


@each_seed
@pytest.mark.parametrize("script, value", [(vdn, 7), (qmix, 8)])
def test_two_step_game_as_in_the_qmix_paper(run, script, value, seed):
    assert run(script, "--env", "two_step_game", "--seed", seed)[-1]["eval/return_mean"] == value


@each_script
def test_table_of_what_was_learned(run, script, capsys):
    run(script, "--env", "matrix_game", *TINY)
    tables = tables_in(capsys.readouterr().out)
    learned = {iql: [], vdn: ["q_tot"], qmix: ["q_tot"], qtran: ["q_jt", "v_jt", "D"]}[script]
    assert list(tables) == ["payoff", "q_1", "q_2", "q_prime", *learned]
    values = {name: table for name, (table, _) in tables.items()}
    np.testing.assert_array_equal(values["payoff"], PAYOFF)

    model = torch.load(newest_run(Path.cwd()) / "model.pt")
    agent = script.Agent(envs.make("matrix_game", 1, 0), 64, False)
    agent.load_state_dict(model["agent"])
    obs = torch.tensor([[1.0, 0, 0, 0, 1, 0], [1.0, 0, 0, 0, 0, 1]])  # observation, no last action, agent id
    q, features = agent(obs[None, None])
    q_1, q_2 = q[0, 0].detach().numpy()
    q_prime = q_1[:, None] + q_2
    best = (q_1.argmax(), q_2.argmax())
    expected = {"q_1": q_1[None], "q_2": q_2[None], "q_prime": q_prime, "q_tot": q_prime}
    joint = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    if script is qmix:
        mixer = qmix.Mixer(1, 2, 32)
        mixer.load_state_dict(model["mixer"])
        taken = q[0, 0][[0, 1], joint]  # [9, 2]
        expected["q_tot"] = mixer(taken[None], torch.ones(1, 9, 1)).detach().numpy().reshape(3, 3)
    if script is qtran:
        network = qtran.JointNetwork(64, 3, 128)
        network.load_state_dict(model["joint"])
        q_jt = network(network.encoder(features).expand(1, 9, 2, 128), joint[None])[0].detach().numpy().reshape(3, 3)
        value = qtran.ValueNetwork(64, 128)
        value.load_state_dict(model["value"])
        v_jt = value(features).detach().numpy()
        expected |= {"q_jt": q_jt, "v_jt": v_jt, "D": q_prime - q_jt + v_jt}
    for name in values.keys() - {"payoff"}:
        np.testing.assert_allclose(values[name], expected[name], atol=0.0051)
    stars = {"q_1": [(0, best[0])], "q_2": [(0, best[1])], "v_jt": []}
    assert {name: where for name, (_, where) in tables.items()} == {name: stars.get(name, [best]) for name in tables}


@pytest.mark.parametrize("argv", ["--env gaussian_squeeze --gaussian-squeeze.n-agents 2", "--env two_step_game"])
def test_no_table_where_episodes_differ_or_go_on(run, argv, capsys):
    run(qtran, *argv.split(), *TINY)
    assert "What was learned" not in capsys.readouterr().out


# --- same seed, same run --------------------------------------------------------------------------------------------


@each_script
@both_agents
def test_same_seed_same_log_other_seed_other_log(run, script, recurrent):
    argv = [*TINY, recurrent, "--train-frequency", 50, "--batch-size", 8, "--window", 10]

    def log(seed):
        return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in run(script, *argv, "--seed", seed)]

    first = log(1)
    assert len(first) == 2 and first == log(1)
    other = log(2)
    for name in ("charts/episodic_return", "values/q_taken"):  # random play of the first episodes, and the weights
        assert first[0][name] != other[0][name]


def test_every_line_of_the_log_is_complete_however_rare_the_updates(run):
    rows = run(vdn, "--env", "matrix_game", *TINY, "--eval-interval", 100, "--train-frequency", 700)
    assert [row["global_step"] for row in rows] == list(range(700, 2001, 100))
    assert np.isfinite([list(row.values()) for row in rows]).all()


def test_evaluating_more_often_changes_nothing_in_training(run):
    often, seldom = (run(vdn, *TINY, "--eval-interval", n)[-1] for n in (1000, 2000))
    assert often["values/q_taken"] != seldom["values/q_taken"]  # means since the last evaluation
    often, seldom = (torch.load(path / "model.pt")["agent"] for path in sorted(Path("runs").iterdir()))
    assert all(torch.equal(often[name], seldom[name]) for name in often)


# --- interruptions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_interrupted_run_keeps_what_it_has_logged(number, code, tmp_path):
    process = start(vdn, "--env", "matrix_game", "--total-timesteps", "1e9", "--eval-interval", 200, cwd=tmp_path)
    log = wait_for_lines(process, tmp_path, 5)
    os.killpg(process.pid, number)  # the whole group, as Ctrl-C in a terminal does
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert ("what was logged is in runs/" in stdout) == (number != signal.SIGKILL)
    assert log.read_text().endswith("\n")
    rows = read(log.parent)
    assert len(rows) >= 5 and rows[-1]["global_step"] == 200 * len(rows)
    model = torch.load(log.parent / "model.pt")
    assert model["global_step"] in (rows[-1]["global_step"], rows[-1]["global_step"] - 200)
    if number != signal.SIGKILL:  # W&B has all of it, but perhaps for a line during which the signal came
        in_wandb, in_csv = steps_in_wandb_file(log.parent), [row["global_step"] for row in rows]
        assert in_wandb in (in_csv, in_csv[:-1])


def steps_in_wandb_file(run_folder):
    """The values of global_step that the W&B files of a run hold."""
    (path,) = run_folder.glob("wandb/offline-run-*/run-*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", path]
    lines = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record["history"]["item"]["global_step"] for record in records if record["type"] == "history"]


def test_loss_that_is_not_finite_stops_the_run(run, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(vdn, "--env", "matrix_game", "--learning-rate", 1e30, "--max-grad-norm", 1e30)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "not finite at step 400" in line and "last logged" in line


def test_full_disk_is_not_silent(tmp_path):
    (tmp_path / "metrics.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        vdn.log(tmp_path, None, {"global_step": 1})


@pytest.mark.parametrize("key", ["", "0" * 40], ids=["no key", "no network"])
def test_online_without_key_or_network_goes_on_offline(key, tmp_path):
    environment = dict(HOME=str(tmp_path), WANDB_API_KEY=key, WANDB_BASE_URL="http://127.0.0.1:9")
    before = time.time()
    process = start(vdn, "--env", "matrix_game", *TINY, "--wandb-mode", "online", cwd=tmp_path, **environment)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert time.time() - before < 60  # half a minute for W&B, and the run
    assert len([line for line in stdout.splitlines() if line.startswith("W&B logs offline: ")]) == 1
    assert len(steps_in_wandb_file(newest_run(tmp_path))) == 2


# --- mistakes -------------------------------------------------------------------------------------------------------


@each_script
@pytest.mark.parametrize(
    "argv, message",
    [
        ("--env chess", "environment must be one of matrix_game, two_step_game, gaussian_squeeze, predator_prey"),
        ("--num-envs 0", "--num-envs must be in [1, inf), got 0"),
        ("--batch-size 0", "--batch-size must be in [1, inf), got 0"),
        ("--total-timesteps 0", "--total-timesteps must be in [1, inf), got 0"),
        ("--total-timesteps -1e6", "--total-timesteps must be in [1, inf), got -1000000"),
        ("--eval-interval 0", "--eval-interval must be in [1, inf), got 0"),
        ("--train-frequency 0", "--train-frequency must be in [1, inf), got 0"),
        ("--window 0", "--window must be in [1, inf), got 0"),
        ("--hidden-dim 0", "--hidden-dim must be in [1, inf), got 0"),
        ("--target-network-frequency 0", "--target-network-frequency must be in [1, inf), got 0"),
        ("--gamma 1.1", "--gamma must be in [0, 1], got 1.1"),
        ("--gamma nan", "--gamma must be in [0, 1], got nan"),
        ("--start-e 2", "--start-e must be in [0, 1], got 2.0"),
        ("--end-e -0.1", "--end-e must be in [0, 1], got -0.1"),
        ("--tau 2", "--tau must be in [0, 1], got 2.0"),
        ("--learning-rate -1", "--learning-rate must be in [0, inf), got -1.0"),
        ("--learning-rate inf", "--learning-rate must be in [0, inf), got inf"),
        ("--env seed", "environment must be one of"),
        ("--wandb-project-name team/project", "--wandb-project-name must have 1 to 100 characters, none of / "),
        ("--exp-name ../up", "--exp-name must have 1 to 100 characters, none of / "),
        ("--env matrix_game --predator-prey.penalty 1", "--predator-prey.* must go with --env predator_prey, got"),
        ("--predator-prey.penalty inf", "predator_prey: penalty must be at least 0, got inf"),
        ("--seed -1", "--seed must be in [0, 4294967295], got -1"),
        ("--batch-size 3e6", "--batch-size 3000000 x 1 steps must be at most --buffer-size 2000000"),
        ("--buffer-size 1000 --num-envs 20", "--buffer-size must hold 20 episodes of 100 steps, got 1000"),
        ("--predator-prey.view 0", "predator_prey: view must be at least 1, got 0"),
        ("--predator-prey.grid-size 1", "predator_prey: grid_size must be at least 2, got 1"),
        ("--predator-prey.n-predators 30", "predator_prey: n_predators + n_prey must be at most 25"),
        pytest.param(
            "--cuda",
            "--cuda needs a GPU and a CUDA build of torch",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
        ),
    ],
)
def test_mistakes_end_with_one_line_before_anything_is_created(run, script, argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(script, *argv.split())
    assert stopped.value.code == 2
    stdout, stderr = capsys.readouterr()
    (line,) = stderr.splitlines()
    assert line.startswith(f"{script.__name__}.py: error: ") and message in line
    assert stdout == "" and not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "argv, message",
    [
        ("--lambda-opt -1", "--lambda-opt must be in [0, inf), got -1.0"),
        ("--lambda-nopt nan", "--lambda-nopt must be in [0, inf), got nan"),
        ("--joint-dim 0", "--joint-dim must be in [1, inf), got 0"),
    ],
)
def test_mistakes_in_the_arguments_of_qtran(run, argv, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(qtran, *argv.split())
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"qtran.py: error: {message}\n" and not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "argv", ["--total-timesteps 1.5", "--total-timesteps many", "--no-such-thing 1", "--variant 2"]
)
def test_malformed_arguments_are_named(run, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(qtran, *argv.split())
    assert stopped.value.code == 2
    stderr = capsys.readouterr().err
    assert all(word in stderr for word in argv.split())
    assert not list(Path.cwd().iterdir())


def test_run_folder_that_cannot_be_written(run, capsys):
    Path("runs").write_text("in the way")
    with pytest.raises(SystemExit) as stopped:
        run(vdn, "--env", "matrix_game")
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run folder runs/matrix_game__vdn__1__" in line and "cannot be written" in line
    assert Path("runs").read_text() == "in the way"


def test_mistakes_as_a_process(tmp_path):
    done = subprocess.run(command(vdn, "--gamma", 2), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert done.stderr == "vdn.py: error: --gamma must be in [0, 1], got 2.0\n"
