"""What the benchmarks compute, against the published figures; what becomes of runs that fail, and of broken results."""

import csv
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import envs
import vdn
from benchmark import __main__, report, runner, suites
from benchmark.studies import jaxmarl_speed, optimum, random_play, speed, squeeze

ROOT = Path(__file__).resolve().parent.parent
RANDOM_PLAY = (ROOT / "benchmark/results/random_play.txt").read_text()


def test_optimum_of_predator_prey():
    assert optimum.predator_prey((0.5, 1.0, 1.5)) == pytest.approx([28.89, 25.74, 23.77], abs=0.05)


def test_the_discount_of_the_scripts_costs_nothing():
    (best,) = optimum.predator_prey([1.5])
    (discounted,) = optimum.predator_prey([1.5], discount=0.9)
    assert best - 0.05 < discounted < best


@pytest.mark.parametrize("n_domains, best", [(1, 7.246), (2, 7.661)])
def test_optimum_of_gaussian_squeeze(n_domains, best):
    assert optimum.gaussian_squeeze(n_domains, draws=300_000) == pytest.approx(best, abs=0.02)


def test_slack_in_gaussian_squeeze_is_that_of_all_joint_actions():
    unit = 1e-4  # of s, so that the sums that can be reached are to be counted
    s = np.random.default_rng(3).integers(0, 2001, (4, 10))
    s[0] = 2000  # x = 8 with whatever one agent does
    s[1] //= 2  # out of reach
    x = np.arange(200_001) * unit
    reward = x * np.exp(-(((x - 8) / 0.5) ** 2)) + x * np.exp(-((x - 5) ** 2))
    best = np.empty((4, 10, 11))
    for game, i in np.ndindex(4, 10):
        reached = np.zeros(len(x), bool)
        reached[0] = True
        for amount in np.delete(s[game], i):
            reached = np.any([np.roll(reached, amount * a) for a in range(11)], axis=0)  # 10 * 10 * 2000 at most
        best[game, i] = [reward[np.roll(reached, s[game, i] * a)].max() for a in range(11)]
    slack = squeeze.slack(s * unit, squeeze.squeeze(1, n_domains=2))
    np.testing.assert_allclose(slack, best.max(axis=2, keepdims=True) - best, atol=0.02)
    assert slack[0].max() == 0 < 0.1 < slack[1].max()


def test_best_answers_in_gaussian_squeeze_are_those_of_the_environment():
    env = envs.make("gaussian_squeeze", 11, 0)
    rng = np.random.default_rng(4)
    s, actions = rng.uniform(0.1, 0.2, (3, 10)), rng.integers(11, size=(3, 10))  # 8 is in reach
    for game, i in np.ndindex(3, 10):
        env.s = np.tile(s[game], (11, 1))
        tried = np.tile(actions[game], (11, 1))
        tried[:, i] = np.arange(11)
        reward = env.step(tried)[2]
        assert squeeze.lost(s, actions, env)[game, i] == pytest.approx(8.016 - reward.max(), abs=0.01)


def test_spread_of_a_saved_agent():
    env = envs.make("gaussian_squeeze", 1, 0)
    agent = vdn.Agent(env, 8, False)
    with torch.no_grad():
        agent.head.weight.zero_()
        agent.head.bias.copy_(torch.tensor([0.0, 0, 0, 0, 7, 0, 0, 0, 0, -1, 0]))
    args = {"hidden_dim": 8, "recurrent": False, "env_args": {}}
    s, spread, reward = squeeze.play({"agent": agent.state_dict(), "args": args}, num_envs=50)
    assert spread.shape == s.shape == (50, 10) and (spread == 8).all()
    x = 4 * s.sum(axis=1, dtype=float)
    np.testing.assert_allclose(reward, x * np.exp(-(((x - 8) / 0.5) ** 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", speed.WORKLOADS)
@pytest.mark.parametrize("game", speed.GAMES)
@pytest.mark.parametrize("algorithm", speed.ALGORITHMS)
def test_flops_of_an_update_are_those_that_torch_counts(algorithm, game, name):
    workload = speed.Workload(algorithm, game, name)
    script, args, env = workload.script, workload.args, workload.env
    workload.replay_buffer.add(script.rollout(env, workload.networks["agent"], 0.5, workload.rng, workload.device))
    batch = workload.replay_buffer.sample(args.batch_size, args.window, workload.rng, workload.device)
    with FlopCounterMode(display=False) as counter:
        script.compute_loss(workload.networks, workload.target_networks, batch, args)[0].backward()
    # the first step of a GRU has nothing to pass back
    assert speed.flops(algorithm, args, env) == pytest.approx(counter.get_total_flops(), rel=0.002)


def test_jaxmarl_beside_ours(tmp_path, monkeypatch, capsys):
    """With a stand-in for JaxMARL that takes 1.6 seconds for a round on one CPU, and half of it on two."""
    python, asked = tmp_path / "python", tmp_path / "asked"
    cpus = len(os.sched_getaffinity(0))
    answer = "[ $(env -u OMP_NUM_THREADS nproc) = 1 ] && echo 1.6 || echo 0.8"
    python.write_text(f"#!/bin/sh\necho $* >> {asked}\necho noise\n{answer}\n")
    python.chmod(0o755)
    monkeypatch.setattr(speed.Workload, "run", lambda workload: time.sleep(0.01))
    monkeypatch.setattr(sys, "argv", ["jaxmarl_speed.py", "--python", str(python), "--qmix", __file__])
    jaxmarl_speed.main()
    table = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:2] for row in table] == [[game, of] for of in ("1", "2", "3", "median") for game in speed.GAMES]
    for _, _, ours, one, two in table:
        assert 0 < int(ours.replace(",", "")) <= 320_000  # a round takes 0.01 seconds at least
        assert (one, two) == ("2,000", "4,000" if cpus > 1 else "2,000")
    dimensions = [line.split("--child ")[1] for line in asked.read_text().splitlines()]
    assert dimensions == ["2 60 75", "2 60 75", "4 64 294", "4 64 294"] * 3
    python.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(SystemExit, match="exit code 3"):
        jaxmarl_speed.main()


@pytest.mark.parametrize("argv", ["--qmix nowhere.py", "--python nowhere", "--repetitions 0"])
def test_mistakes_beside_jaxmarl(argv, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["jaxmarl_speed.py", "--qmix", __file__, *argv.split()])
    with pytest.raises(SystemExit, match="2"):
        jaxmarl_speed.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert all(word in said for word in argv.split())


def test_suites_name_the_optimum_and_the_return_of_random_play():
    known = {name: optimum.predator_prey([float(name.split("_")[3])])[0] for name in suites.GAMES if "2v1" in name}
    known |= {f"gaussian_squeeze_{k}": optimum.gaussian_squeeze(k, draws=300_000) for k in (1, 2)}
    for name, best in known.items():
        assert suites.GAMES[name].optimum == pytest.approx(best, abs=0.02)
    everywhere = {name: text for suite in suites.SUITES for name, text in suites.arguments(suite).items()}
    assert everywhere.keys() == suites.GAMES.keys()
    for name, game in suites.GAMES.items():
        args = runner.arguments(f"vdn.py {everywhere[name]}")
        if ":" in args["env"]:
            continue
        env, num_envs = args["env"], 3000 if args["env"] == "predator_prey" else 300_000
        assert game.random == pytest.approx(optimum.random_play(env, num_envs, **args["env_args"]), abs=0.6)


def test_random_play_takes_the_games_by_name(monkeypatch, capsys):
    # The tests do without JaxMARL.
    assert f"smax_3m, random: {suites.GAMES['smax_3m'].random:.2f} +- " in RANDOM_PLAY
    monkeypatch.setattr("sys.argv", ["random_play", "foraging_8x8-2p-2f-coop"])
    random_play.main(episodes=20)
    assert re.fullmatch(r"foraging_8x8-2p-2f-coop, random: 0\.\d\d \+- .*, 20 episodes\n", capsys.readouterr().out)
    monkeypatch.setattr("sys.argv", ["random_play", "3m"])
    with pytest.raises(SystemExit, match="2"):
        random_play.main()
    assert "'3m'" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", [name for name in suites.arguments("environments") if "recurrent" not in name])
def test_suites_name_the_return_of_random_play_in_other_environments(name):
    game = suites.GAMES[name]
    assert f"{name}, random: {game.random:.2f} +- " in RANDOM_PLAY
    args = runner.arguments(f"vdn.py {suites.arguments('environments')[name]}")
    env = envs.make(args["env"], 100, 5, **args["env_args"])
    total, steps = random_play.returns(env, random_play.random_policy(6))
    assert abs(total.mean() - game.random) < 4 * total.std() / 10 + 0.01
    assert steps.max() == env.episode_limit
    for policy_name, policy in random_play.BY_HAND.get(name, {}).items():
        mean = float(re.search(f"{name}, {policy_name}: (.+) \\+-", RANDOM_PLAY)[1])
        total, _ = random_play.returns(env, policy)
        assert abs(total.mean() - mean) < 4 * total.std() / 10 and f"{mean:.2f}" in game.paper
    envs.close(env)


@pytest.mark.parametrize("suite", suites.SUITES)
def test_commands_of_a_suite_parse_and_differ(suite):
    jobs = suites.jobs(suite)
    assert len({job.name for job in jobs}) == len({job.command for job in jobs}) == len(jobs)
    for job in jobs:
        args = runner.arguments(job.command)
        assert args["seed"] == job.seed and (args["total_timesteps"] <= 800) == (suite == "smoke")


def test_a_suite_can_be_cut_down():
    assert len(suites.jobs("paper")) == 5 * (5 * 7 + 3 * 2)
    assert len(suites.jobs("paper", seeds=1)) == 5 * 9
    only = suites.jobs("paper", ["qtran", "predator_prey"], seeds=2)
    assert {job.algo for job in only} == {"qtran-base", "qtran-alt"} and len(only) == 2 * 5 * 2
    assert [job.name for job in suites.jobs("paper", ["matrix_game__vdn__3"])] == ["matrix_game__vdn__3"]
    for wrong in (dict(suite="papers"), dict(suite="paper", only=["qtrain"]), dict(suite="paper", seeds=0)):
        with pytest.raises(ValueError, match=f"--{list(wrong)[-1]}"):
            suites.jobs(**wrong)


def test_interquartile_mean_and_its_interval():
    assert report.iqm(np.array([5.0, 1.0, 100.0, 2.0, 3.0])) == pytest.approx((2 + 3 + 5) / 3)
    assert report.iqm(np.array([[1.0, 3.0]])) == [2.0]
    assert list(report.interval(np.full(5, 7.0))) == [7, 7]
    # means of two draws from {0, 1}: 0, 1/2, 1 with probability 1/4, 1/2, 1/4
    assert list(report.interval(np.array([0.0, 1.0]))) == [0, 1]
    # five: of the 3,125 draws 1 + 5 x 4 have four or more 0 (IQM 0), 10 x (4^2 - 3^2) three and a 4 (IQM 4 / 3): 2.9 %
    assert list(report.interval(np.array([0.0, 4.0, 8.0, 12.0, 16.0]))) == pytest.approx([4 / 3, 16 - 4 / 3])
    many = np.random.default_rng(0).normal(size=400)
    low, high = report.interval(many)
    assert low < report.iqm(many) < high and 0.1 < high - low < 0.4  # 2 x 1.96 x 1.1 / sqrt(400) is about 0.2


def test_table_of_known_curves():
    def run(*returns):
        returns = np.array(returns)
        seconds = 10.0 * np.arange(1, len(returns) + 1)
        columns = {"eval/return_mean": returns, "charts/seconds": seconds}
        columns["charts/episodic_return"] = returns - 3  # while exploring
        return columns | {"global_step": 160 * seconds, "n_updates": 1000, "peak_mib": 300 + returns[0]}

    game = suites.Game("A game", optimum=10, random=0, solved=0.9, found=None, paper="Nothing.")
    algos = {"vdn": {1: run(-90, *[1] * 9, 2)}, "qtran-alt": {1: run(1, 9, 8), 2: run(9, 8, 10)}}
    text = report.table(game, algos)
    assert text.splitlines() == [
        "| algorithm | last ten, IQM | 95 % interval | by seed | of 10 | seconds to 90% of it | last evaluation, IQM "
        "| steps | updates | seconds in all | steps/s | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `vdn` | 1.10 | one seed | 1.10 | 11% | - | 2.00 | 17,600 | 1,000 | 110 | 160 | 210 |",
        "| `qtran-alt` | 7.50 | 6.00 to 9.00 | 6.00 / 9.00 | 75% | - / 10 | 9.00 | 4,800 | 1,000 | 30 | 160 | 309 |",
    ]
    # beside published figures stands what they are, the best mean over seeds: of (1 + 9) / 2, (9 + 8) / 2, (8 + 10) / 2
    text = report.table(game._replace(paper="Papoudakis et al."), algos).splitlines()
    assert "| seconds to 90% of it | best evaluation | exploring, last ten | last evaluation, IQM |" in text[0]
    assert "| - | 2.00 | -1.90 | 2.00 |" in text[2] and "| - / 10 | 9.00 | 4.50 | 9.00 |" in text[3]


@pytest.fixture
def finished(tmp_path):
    """The folder of a run that is finished, and its command."""
    config = runner.arguments("vdn.py --env two_step_game --total-timesteps 400")
    (tmp_path / "config.json").write_text(json.dumps({"algo": "vdn", **config}))
    (tmp_path / "metrics.csv").write_text("global_step,eval/return_mean\n200,6.5\n400,7.0\n")
    (tmp_path / "exit.json").write_text('{"exit_code": 0, "seconds": 1.0, "commit": "a", "versions": {}}')
    return tmp_path, "vdn.py --env two_step_game --total-timesteps 400"


def test_a_finished_run(finished):
    assert runner.problem(*finished) is None


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("exit.json", None, "no exit record"),
        ("exit.json", "", "no exit record"),
        ("exit.json", '{"exit_code": 1, "seconds": 1.0}', "exit code 1"),
        ("exit.json", '{"exit_code": -9, "seconds": 1.0}', "exit code -9"),
        ("exit.json", "[]", "no exit record"),
        ("exit.json", "3", "no exit record"),
        ("config.json", '{"algo": "vd', "config.json is incomplete"),
        ("config.json", "[1]", "config.json is incomplete"),
        ("config.json", '{"total_timesteps": null}', "config.json is incomplete"),
        ("metrics.csv", "global_step\n400\n", "no column global_step or eval/return_mean"),
        ("metrics.csv", None, "metrics.csv is missing"),
        ("metrics.csv", "", "no lines"),
        ("metrics.csv", "global_step,eval/return_mean\n", "no lines"),
        ("metrics.csv", "global_step,eval/return_mean\n200,6.5\n", "step 200 of 400"),
        ("metrics.csv", "global_step,eval/return_mean\n200,6.5\n400\n", "incomplete line"),
        ("metrics.csv", "global_step,eval/return_mean\n200,\n400,7.0\n", "incomplete line"),
        ("metrics.csv", "global_step,eval/return_mean\n200,6.5\n400,7", "breaks off"),
        ("metrics.csv", "global_step,eval/return_mean\n200,nan\n400,7.0\n", "a value of eval/return_mean that is not"),
        ("metrics.csv", "global_step,eval/return_mean,x\n200,1,1\n400,2,inf\n", "a value of x that is not finite"),
        ("metrics.csv", "global_step,eval/return_mean\n200,6.5\n200,6.5\n400,7.0\n", "from step 200 to step 200"),
        ("metrics.csv", "global_step,eval/return_mean\n300,6.5\n200,6.5\n400,7.0\n", "from step 300 to step 200"),
        ("exit.json", '{"exit_code": 0}', "exit.json is incomplete"),
    ],
)
def test_an_unfinished_run(finished, name, text, problem):
    folder, command = finished
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    assert problem in runner.problem(folder, command)


def test_a_run_with_other_arguments_is_not_the_one_that_is_wanted(finished):
    folder, command = finished
    assert "gamma 0.99" in runner.problem(folder, f"{command} --gamma 0.5")
    assert runner.problem(folder / "none", command) == "not run"


def test_a_run_is_kept_with_its_commit_and_whether_the_code_differs_from_it(tmp_path, monkeypatch):
    def git(*argv):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *identity, *argv], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(runner, "ROOT", tmp_path)
    git("init")
    (tmp_path / "script.py").write_text("a = 1\n")
    (tmp_path / "table.csv").write_text("1\n")
    git("add", ".")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD").strip()
    assert runner.provenance()["commit"] == head
    (tmp_path / "table.csv").write_text("2\n")  # results may come while others run
    assert runner.provenance()["commit"] == head
    (tmp_path / "script.py").write_text("a = 2\n")
    assert runner.provenance()["commit"] == f"{head}-dirty"
    assert report.short_commit(f"{head}-dirty") == f"{head[:12]}-dirty"


@pytest.fixture
def project(tmp_path):
    """A copy of the project without its results."""
    for name in ("envs.py", "iql.py", "vdn.py", "qmix.py", "qtran.py"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "benchmark", tmp_path / "benchmark", ignore=shutil.ignore_patterns("results", "figures"))
    return tmp_path


def benchmark(project, *argv, env=None):
    command = [sys.executable, "-m", "benchmark", *argv]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)


ONLY = ["--suite", "smoke", "--only", "two_step", "vdn", "iql"]


def test_run_and_report(project, monkeypatch, capsys):
    monkeypatch.setattr(runner, "ROOT", project)
    monkeypatch.setattr(runner, "RUNS", project / "runs")
    monkeypatch.setattr(runner, "RESULTS", project / "benchmark/results")
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # pytest keeps its own
    only = ["two_step", "vdn", "iql"]
    __main__.run("smoke", only)
    assert "2 done, 0 running, 0 failed, 0 waiting" in capsys.readouterr().out
    __main__.status("smoke", only)
    assert "2 of 2 runs are finished" in capsys.readouterr().out
    kept = project / "benchmark/results/smoke"
    assert sorted(path.name for path in kept.iterdir()) == ["curves.csv", "runs.json"]
    records = json.loads((kept / "runs.json").read_text())
    assert list(records) == ["two_step_game__iql__1", "two_step_game__vdn__1"]
    record = records["two_step_game__vdn__1"]
    assert record["arguments"]["total_timesteps"] == 800 and record["exit_code"] == 0 and record["seconds"] > 0
    assert record["peak_mib"] > 100 and record["versions"]["torch"] == torch.__version__
    assert record["commit"] == "unknown"  # the copy is no git repository
    for path in kept.iterdir():
        assert str(project) not in path.read_text() and str(ROOT) not in path.read_text()
    with open(project / "runs/smoke/two_step_game__vdn__1/metrics.csv", newline="") as file:
        logged = [*csv.DictReader(file)]
    curve = runner.curve("smoke", "two_step_game__vdn__1")
    for name in runner.COLUMNS.keys() & logged[0].keys():
        assert curve.pop(name) == pytest.approx([float(row[name]) for row in logged], rel=0.005), name
    assert not curve  # what a script does not log is left out

    __main__.report("smoke")
    mean = np.mean([float(row["eval/return_mean"]) for row in logged])
    readme = (kept / "README.md").read_text()
    assert f"| `vdn` | {mean:.2f} | one seed | {mean:.2f} |" in readme and "### Two-step game" in readme
    assert (kept / "figures/two_step_game.png").stat().st_size > 5_000

    readme = readme.replace("# Suite smoke", "# Suite smoke\n\nWritten by hand.")
    (kept / "README.md").write_text(readme)

    whole = (kept / "curves.csv").read_text()
    (kept / "curves.csv").write_text(whole[: whole.rindex("two_step_game__vdn__1")])  # without its last line
    metrics = project / "runs/smoke/two_step_game__vdn__1/metrics.csv"
    metrics.write_text(metrics.read_text()[:-20])
    for command in (lambda: __main__.report("smoke"), lambda: __main__.status("smoke", only)):
        with pytest.raises(SystemExit) as stopped:
            command()
        assert stopped.value.code == 1 and "two_step_game__vdn__1: " in capsys.readouterr().err
    readme = (kept / "README.md").read_text()
    assert "Written by hand." in readme and "`vdn`" not in readme and "`iql`" in readme
    __main__.run("smoke", only)
    assert "2 runs, 1 of them finished before" in capsys.readouterr().out
    again = (kept / "curves.csv").read_text()
    assert again.count("\n") == whole.count("\n")
    assert again.split("two_step_game__vdn__1")[0] == whole.split("two_step_game__vdn__1")[0]  # the other run's lines


@pytest.fixture
def kept_run(tmp_path, monkeypatch):
    """A job and what is kept of it, in a suite of its own: (job, change its record, change its lines)."""
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    (job,) = suites.jobs("smoke", ["two_step_game__vdn__1"])
    header, end = ",".join(["run", *runner.COLUMNS]), "," * (len(runner.COLUMNS) - 2)
    record = {"arguments": runner.arguments(job.command), "commit": "a", "versions": {}, "exit_code": 0}
    (tmp_path / "smoke").mkdir()

    def write(record=record, lines=("400,6.5", "800,7.0")):
        runner.replace(tmp_path / "smoke/runs.json", [json.dumps({job.name: record})])
        runner.replace(tmp_path / "smoke/curves.csv", [header, *(f"{job.name},{line}{end}" for line in lines)])

    write()
    return job, record, write


def test_a_kept_run(kept_run):
    job, record, write = kept_run
    assert runner.problem_kept(job) is None
    assert runner.problem_kept(job._replace(seed=2)) == "not run"
    assert "gamma 0.99" in runner.problem_kept(job._replace(command=f"{job.command} --gamma 0.5"))
    write(record | {"exit_code": 1})
    assert runner.problem_kept(job) == "exit code 1"
    write({"exit_code": 0})
    assert runner.problem_kept(job) == "its record in runs.json is incomplete"


@pytest.mark.parametrize(
    "lines, problem",
    [
        ([], "curves.csv has no lines"),
        (["400,6.5"], "curve ends at step 400 of 800"),
        (["400,6.5", "800,"], "curves.csv has an incomplete line"),
        (["400,nan", "800,6.5"], "curves.csv has a value of eval/return_mean that is not finite"),
        (["400,6.5", "400,6.5", "800,6.5"], "curves.csv goes from step 400 to step 400"),
        (["400", "800"], "curves.csv has an incomplete line"),
        (["400,", "800,"], "curves.csv has no column global_step or eval/return_mean"),
    ],
)
def test_a_kept_run_whose_curve_is_broken(kept_run, lines, problem):
    job, record, write = kept_run
    write(lines=lines)
    assert runner.problem_kept(job) == problem


def test_kept_results_that_cannot_be_read_are_named(kept_run):
    job, record, write = kept_run
    (runner.RESULTS / "smoke/runs.json").write_text("{<<<<<<< HEAD")
    with pytest.raises(SystemExit, match="error: .*/smoke cannot be read"):
        runner.problem_kept(job)


def keep_seeds(results, runs, seeds):
    """In a process of its own: keep runs that the test has made up."""
    runner.RESULTS, runner.RUNS = results, runs
    for seed in seeds:
        runner.keep(suites.Job("smoke", "two_step_game", "vdn", seed, ""))


def test_runners_that_keep_results_at_once_lose_nothing(tmp_path):
    seeds = range(40)
    for seed in seeds:
        folder = tmp_path / f"runs/smoke/two_step_game__vdn__{seed}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"seed": seed}))
        (folder / "exit.json").write_text('{"exit_code": 0}')
        (folder / "metrics.csv").write_text(f"global_step,eval/return_mean\n400,6.5\n800,{seed}\n")
    results = tmp_path / "results"
    context = multiprocessing.get_context("spawn")
    keepers = [context.Process(target=keep_seeds, args=(results, tmp_path / "runs", seeds[k::4])) for k in range(4)]
    for keeper in keepers:
        keeper.start()
    for keeper in keepers:
        keeper.join()
        assert keeper.exitcode == 0
    names = sorted(f"two_step_game__vdn__{seed}" for seed in seeds)
    records = json.loads((results / "smoke/runs.json").read_text())
    assert {name: record["arguments"]["seed"] for name, record in records.items()} == {
        name: int(name.split("__")[2]) for name in names
    }
    with open(results / "smoke/curves.csv", newline="") as file:
        found = [(row["run"], row["global_step"], float(row["eval/return_mean"])) for row in csv.DictReader(file)]
    assert found == [row for name in names for row in ((name, "400", 6.5), (name, "800", int(name.split("__")[2])))]


def test_a_run_that_fails_is_told_and_the_others_are_kept(project):
    script = (project / "iql.py").read_text()
    (project / "iql.py").write_text(
        script.replace(
            "    replay_buffer = ReplayBuffer(", "    raise OSError('no more')\n    replay_buffer = ReplayBuffer("
        )
    )
    done = benchmark(project, "run", *ONLY)
    assert done.returncode == 1
    assert "two_step_game__iql__1: exit code 1" in done.stderr and "OSError: no more" in done.stderr
    assert "1 runs are not finished" in done.stderr and "vdn" not in done.stderr
    assert list(json.loads((project / "benchmark/results/smoke/runs.json").read_text())) == ["two_step_game__vdn__1"]

    (project / "iql.py").write_text(script)
    done = benchmark(project, "run", *ONLY)
    assert done.returncode == 0 and "2 runs, 1 of them finished before" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_benchmark_stops_its_runs_and_goes_on_later(project, number):
    suite = (project / "benchmark/suites/smoke.sh").read_text()
    (project / "benchmark/suites/smoke.sh").write_text(
        suite.replace("--total-timesteps 800", "--total-timesteps 1_000_000")
    )
    argv = ["run", "--suite", "smoke", "--only", "two_step_game__vdn__1"]
    command = [sys.executable, "-m", "benchmark", *argv]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not list(project.glob("runs/smoke/*/runs/*/metrics.csv")):
            time.sleep(0.1)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in stderr
    folder = project / "runs/smoke/two_step_game__vdn__1"
    assert json.loads((folder / "exit.json").read_text())["exit_code"] == 128 + signal.SIGTERM
    assert "stopped at step" in (folder / "log.txt").read_text()  # the script ended by itself
    assert not (project / "benchmark/results").exists()

    (project / "benchmark/suites/smoke.sh").write_text(suite)
    assert benchmark(project, *argv).returncode == 0


@pytest.mark.parametrize(
    "argv, told",
    [
        (["run", "--suite", "papers"], "papers"),
        (["run", "--only", "qtrain"], "--only qtrain"),
        (["run", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["run", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["status", "--seeds", "0"], "--seeds must be at least 1, got 0"),
    ],
)
def test_mistakes_in_the_arguments(project, argv, told):
    done = benchmark(project, *argv)
    assert done.returncode == 2 and told in done.stderr and not (project / "runs").exists()


def test_a_dry_run_prints_the_commands_and_finds_mistakes(project):
    done = benchmark(project, "run", "--suite", "smoke", "--dry-run")
    assert done.returncode == 0 and done.stdout.count("run       python ") == 45 and not (project / "runs").exists()
    suite = (project / "benchmark/suites/smoke.sh").read_text()
    (project / "benchmark/suites/smoke.sh").write_text(suite.replace("--num-envs 4", "--num-env 4"))
    done = benchmark(project, "run", "--suite", "smoke")
    assert done.returncode == 2 and "--num-env" in done.stderr and not (project / "runs").exists()


@pytest.fixture
def slurm(tmp_path_factory):
    """A Slurm of one node; the environment in which its commands find it."""
    if not all(map(shutil.which, ("sbatch", "slurmctld", "slurmd", "munged"))):
        pytest.skip("no Slurm on this machine (Debian: slurm-wlm and munge)")
    folder = tmp_path_factory.mktemp("slurm")
    start = [Path(__file__).parent / "slurm.sh", folder]
    done = subprocess.run(["bash", *start], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    yield {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("slurmd", "slurmctld", "munged"):
        os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)


def test_slurm(project, slurm):
    script = project / "iql.py"
    script.write_text(
        script.read_text().replace(
            "    replay_buffer = ReplayBuffer(", "    raise OSError('no more')\n    replay_buffer = ReplayBuffer("
        )
    )
    done = benchmark(project, "run", "--slurm", *ONLY, env=slurm)
    assert done.returncode == 0 and "submitted as job " in done.stdout, done.stderr
    for _ in range(60):
        done = benchmark(project, "status", *ONLY)
        if "no exit record" not in done.stderr and "not run" not in done.stderr:
            break
    assert done.returncode == 1 and "1 of 2 runs are finished" in done.stdout
    assert "two_step_game__iql__1: exit code 1" in done.stderr and "OSError: no more" in done.stderr


def test_slurm_needs_sbatch(project):
    done = benchmark(project, "run", "--slurm", *ONLY, env={**os.environ, "PATH": "/nowhere"})
    assert done.returncode == 1 and "sbatch" in done.stderr and done.stderr.count("\n") == 1


def long_run(project):
    """A runner at a run that does not end by itself, once it has logged something."""
    suite = project / "benchmark/suites/smoke.sh"
    suite.write_text(suite.read_text().replace("--total-timesteps 800", "--total-timesteps 1_000_000"))
    argv = ["-m", "benchmark", "run", "--suite", "smoke", "--only", "two_step_game__vdn__1"]
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    runner_process = subprocess.Popen([sys.executable, *argv], cwd=project, **pipe)
    while not list(project.glob("runs/smoke/*/runs/*/metrics.csv")):
        assert runner_process.poll() is None
        time.sleep(0.1)
    return runner_process


def test_a_second_runner_leaves_a_run_to_the_first_and_takes_other_work(project):
    first = long_run(project)
    try:
        done = benchmark(project, "run", "--suite", "smoke", "--only", "two_step_game__vdn__1")
        assert done.returncode == 0 and "two_step_game__vdn__1: running elsewhere" in done.stdout
        assert len(list(project.glob("runs/smoke/two_step_game__vdn__1/runs/*"))) == 1
        assert first.poll() is None
    finally:
        first.terminate()
        first.communicate(timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's signal at the parent's death")
def test_no_run_survives_a_runner_that_was_killed(project):
    process = long_run(project)
    process.kill()
    process.communicate(timeout=60)
    (log,) = project.glob("runs/smoke/*/log.txt")
    for _ in range(200):
        if "stopped at step" in log.read_text():
            break
        time.sleep(0.1)
    assert "stopped at step" in log.read_text()  # by itself, as after Ctrl-C
    suite = project / "benchmark/suites/smoke.sh"
    suite.write_text(suite.read_text().replace("--total-timesteps 1_000_000", "--total-timesteps 800"))
    for _ in range(100):  # until its lock has gone with it
        done = benchmark(project, "run", "--suite", "smoke", "--only", "two_step_game__vdn__1")
        if "elsewhere" not in done.stdout:
            break
    assert done.returncode == 0 and "1 done" in done.stdout


def test_all_is_finished_is_said_and_force_runs_it_again(project):
    argv = ["run", "--suite", "smoke", "--only", "two_step_game__vdn__1"]
    assert benchmark(project, *argv).returncode == 0
    kept = project / "benchmark/results/smoke/curves.csv"
    first = kept.read_text()
    done = benchmark(project, *argv)
    assert done.returncode == 0 and "all 1 runs are finished; --force runs them again" in done.stdout
    assert kept.read_text() == first
    done = benchmark(project, *argv, "--force")
    assert done.returncode == 0 and "1 done" in done.stdout
    assert kept.read_text() != first  # other seconds
