"""The scripts against a W&B server: what arrives, online and by `wandb sync`, and what becomes of a run without one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from fake_wandb import KEY, FakeWandb
from test_runs import read, start

import envs
import qtran
import vdn

SHORT = "--total-timesteps 2000 --eval-interval 1000 --num-envs 10".split()


@pytest.fixture
def server():
    server = FakeWandb()
    yield server
    server.shutdown()


def environment(server, home):
    return dict(WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, HOME=str(home))


def values(config):
    return {name: entry["value"] for name, entry in json.loads(config).items() if name != "_wandb"}


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_run_arrives_whole(server, mode, tmp_path):
    argv = ["--env-args", "penalty", 1.5, "view", 2, *SHORT, "--wandb-mode", mode]
    process = start(qtran, *argv, cwd=tmp_path, **environment(server, tmp_path))
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 0, stderr
    (folder,) = (tmp_path / "runs").iterdir()
    where = stdout.splitlines()[0].partition(", W&B: ")[2]
    if mode == "offline":
        assert not server.runs
        sync = f"{sys.executable} -m {where}"
        subprocess.run(sync, shell=True, check=True, cwd=tmp_path, env={**os.environ, **environment(server, tmp_path)})
    ((entity, project, name), run), *others = server.runs.items()
    assert not others and project == "value-factorisation"
    assert mode == "offline" or where == f"{server.url}/{entity}/{project}/runs/{name}"
    assert (run["groupName"], run["displayName"]) == ("predator_prey-penalty=1.5-view=2", folder.name)
    assert run["tags"] == ["qtran-alt", "predator_prey"] and run["state"] == "finished"
    config, logged = values(run["config"]), json.loads((folder / "config.json").read_text())
    everything = envs.options_of("predator_prey") | {"penalty": 1.5, "view": 2}
    assert config == logged | {"env_args": everything} and everything["grid_size"] == 5
    rows = [run["history"][k] for k in sorted(run["history"])]
    assert [{name: row[name] for name in read(folder)[0]} for row in rows] == read(folder)
    assert {"qtran.py", "envs.py"} <= set(run["files"])


def test_games_without_options_are_not_lost_from_the_config(server, tmp_path):
    argv = ["--env", "matrix_game", *SHORT, "--wandb-mode", "online"]
    process = start(vdn, *argv, cwd=tmp_path, **environment(server, tmp_path))
    assert process.wait(timeout=180) == 0
    (run,) = server.runs.values()
    assert "env_args" in values(run["config"]) and run["groupName"] == "matrix_game"


@pytest.mark.parametrize("wrong", ["key", "answer"])
def test_a_server_that_refuses_ends_the_run_before_it_begins(server, wrong, tmp_path):
    server.fails = wrong == "answer"
    given = environment(server, tmp_path) | ({"WANDB_API_KEY": 40 * "0"} if wrong == "key" else {})
    process = start(vdn, "--env", "matrix_game", *SHORT, "--wandb-mode", "online", cwd=tmp_path, **given)
    stdout, stderr = process.communicate(timeout=120)
    (line,) = [line for line in stderr.splitlines() if "error" in line]
    assert line.startswith("vdn.py: error: W&B online: ") and ("logged in" if wrong == "key" else "500") in line
    assert (process.returncode, stdout, list(tmp_path.glob("runs/*"))) == (2, "", [])


def test_a_server_that_dies_during_the_run_costs_nothing_but_the_upload(server, tmp_path):
    argv = ["--env", "two_step_game", "--total-timesteps", 6000, "--eval-interval", 500, "--wandb-mode", "online"]
    process = start(vdn, *argv, cwd=tmp_path, **environment(server, tmp_path))
    lines = [process.stdout.readline()]
    server.fails = True
    while not lines[-1].startswith("uploading"):
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    assert lines[-2].startswith("see runs/")  # the run has said all
    (folder,) = (tmp_path / "runs").iterdir()
    assert f"wandb sync --include-online runs/{folder.name}/wandb/run-*`" in lines[-1]
    time.sleep(3)  # W&B writes its file every second
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 0 and read(folder)[-1]["global_step"] == 6000

    server.fails = False
    command = lines[-1].partition("`")[2].partition("`")[0]
    given = {**os.environ, **environment(server, tmp_path)}
    subprocess.run(f"{sys.executable} -m {command}", shell=True, check=True, cwd=tmp_path, env=given)
    (run,) = server.runs.values()
    assert len(run["history"]) == len(read(folder)) == 12
