"""`python -m benchmark show`: what it prints of a run, against the networks in model.pt and brute force."""

import json
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import envs
import iql
import qmix
import qtran
import vdn
from benchmark import __main__, show

ROOT = Path(__file__).resolve().parent.parent
PAYOFF = envs.MatrixGame.payoff
SHORT = ["--total-timesteps", "2000", "--eval-interval", "1000", "--num-envs", "10", "--wandb-mode", "disabled"]


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr("signal.signal", lambda number, handler: None)  # pytest keeps its own


def train(script, *argv):
    """A short run in the current folder; returns its folder."""
    sys.argv = [script.__file__, *map(str, argv), *SHORT]
    script.main(script.parse())
    return max(Path("runs").iterdir(), key=lambda path: path.name.split("__")[-1])


def tables_in(text):
    """Name -> (values, where the stars are) of the printed tables."""
    tables = {}
    lines = text.split("rows: actions of agent 1, columns: of agent 2, *: greedy\n")[1].split("mean return")[0]
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


@pytest.mark.parametrize("script", [iql, vdn, qmix, qtran], ids=lambda script: script.__name__)
@pytest.mark.parametrize("recurrent", [False, True], ids=["feed-forward", "recurrent"])
def test_tables_are_those_of_the_saved_networks(script, recurrent, capsys):
    folder = train(script, "--env", "matrix_game", *["--recurrent"] * recurrent)
    capsys.readouterr()
    __main__.show((folder,))
    tables = tables_in(capsys.readouterr().out)

    model = torch.load(folder / "model.pt")
    agent = script.Agent(envs.make("matrix_game", 1, 0), model["args"]["hidden_dim"], recurrent)
    agent.load_state_dict(model["agent"])
    inputs = torch.tensor([[1.0, 1, 0, 0, 0, 0], [1.0, 0, 1, 0, 0, 0]])  # observation, agent id, no last action yet
    inputs = inputs if recurrent else inputs[:, :3]
    q_i, features = agent(inputs[None, None])
    q_1, q_2 = q_i[0, 0].detach().numpy()
    q_prime = q_1[:, None] + q_2
    greedy = (q_1.argmax(), q_2.argmax())
    joint = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    expected = {"payoff": PAYOFF, "Q_1": q_1[None], "Q_2": q_2[None]}
    if script is vdn:
        expected["Q_tot"] = q_prime
    elif script is qmix:
        mixer = qmix.Mixer(envs.make("matrix_game", 1, 0), 32, False)
        mixer.load_state_dict(model["mixer"])
        taken = q_i[0, 0][[0, 1], joint]  # [9, 2]
        expected["Q_tot"] = mixer(taken[None], torch.ones(1, 9, 1)).detach().numpy().reshape(3, 3)
    else:
        expected["Q'"] = q_prime
    if script is qtran:
        network = qtran.JointNetwork(model["args"]["hidden_dim"], 3, 128)
        network.load_state_dict(model["joint"])
        q_jt = network(features.expand(1, 9, 2, -1), joint[None])[0].detach().numpy().reshape(3, 3)
        value = qtran.ValueNetwork(model["args"]["hidden_dim"], 128)
        value.load_state_dict(model["value"])
        v_jt = value(features).detach().numpy()
        expected |= {"Q_jt": q_jt, "V_jt": v_jt, "D": q_prime - q_jt + v_jt}
    assert list(tables) == list(expected)
    for name in expected:
        np.testing.assert_allclose(tables[name][0], expected[name], atol=0.0051)
    stars = {"Q_1": [(0, greedy[0])], "Q_2": [(0, greedy[1])], "V_jt": []}
    assert {name: where for name, (_, where) in tables.items()} == {name: stars.get(name, [greedy]) for name in tables}


def test_figure_and_gif(capsys):
    one_step = [train(script, "--env", "matrix_game") for script in (vdn, qtran)]
    episodes = [train(script, "--env-args", "penalty", 1.5) for script in (vdn, qtran)]
    __main__.show(tuple(one_step), figure=Path("table.png"))
    width, height = Image.open("table.png").size
    assert width > 800 and height > 200  # pay-off, Q_tot; Q', Q_jt, D
    __main__.show(tuple(episodes), episodes=2, gif=Path("hunt.gif"))
    gif = Image.open("hunt.gif")
    assert gif.n_frames == 101 and gif.size[0] > 2 * 5 * 36
    for argv in (dict(runs=tuple(episodes), figure=Path("t.png")), dict(runs=tuple(one_step), gif=Path("t.gif"))):
        with pytest.raises(SystemExit) as stopped:
            __main__.show(**argv)
        assert stopped.value.code == 2 and re.search(r"--(figure|gif) needs runs of ", capsys.readouterr().err)
        assert not Path("t.png").exists() and not Path("t.gif").exists()


@pytest.mark.parametrize("recurrent", [False, True], ids=["feed-forward", "recurrent"])
def test_greedy_episodes_of_the_latest_run(recurrent, capsys):
    train(iql, "--env", "two_step_game")
    folder = train(vdn, "--env-args", "view", 2, *["--recurrent"] * recurrent)
    capsys.readouterr()
    __main__.show(episodes=50, seed=3)
    out = capsys.readouterr().out
    assert out.startswith("vdn on predator_prey view 2, seed 1, after 2,000 steps\n")

    # The same episodes, played without the script: the agent's inputs put together by hand.
    model = torch.load(folder / "model.pt")

    def play(num_envs, seed):
        """Returns of all copies; rewards and texts of the first."""
        env = envs.make("predator_prey", num_envs, seed, view=2)
        agent = vdn.Agent(env, 128, recurrent)
        agent.load_state_dict(model["agent"])
        (obs, _), hidden, returns, rewards, frames = env.reset(), None, 0.0, [], [env.render()]
        last_action = np.zeros((num_envs, 2, 5 if recurrent else 0))
        for _ in range(100):
            inputs = np.concatenate([obs, np.broadcast_to(np.eye(2), (num_envs, 2, 2)), last_action], axis=2)
            with torch.no_grad():
                q_i, hidden = agent(torch.tensor(inputs)[None], hidden)
            actions = q_i[0].argmax(-1).numpy()
            last_action = np.eye(5)[actions][..., : last_action.shape[-1]]
            obs, _, reward, _ = env.step(actions)
            returns += reward.astype(float)
            rewards.append(reward[0])
            frames.append(env.render())
        return returns, rewards, frames

    returns, *_ = play(50, 3)
    _, rewards, frames = min((play(1, 3 + k) for k in range(50)), key=lambda one: abs(one[0][0] - returns.mean()))
    error = returns.std(ddof=1) / 50**0.5
    assert f"mean return of 50 greedy episodes: {returns.mean():.2f} +- {error:.2f} (standard error)" in out
    for title in ("start", *(f"{t}: {reward:+g}" for t, reward in enumerate(rewards, 1))):
        assert re.search(rf"(^| ){re.escape(title)}( |$)", out, re.M)
    drawn = [line for line in out.splitlines() if set(line.split()) <= {".", "0", "1", "a"} and line]
    grids = [[drawn[5 * i + r].split() for r in range(5)] for i in range(len(drawn) // 5)]
    shown = [[row[5 * k : 5 * k + 5] for row in grid] for grid in grids for k in range(len(grid[0]) // 5)]
    assert ["\n".join(" ".join(row) for row in grid) for grid in shown] == frames


class Masked:
    """Random states in which actions are masked at random; one of its options is the number of agents."""

    n_actions, obs_dim, state_dim, episode_limit = 3, 4, 4, 5

    def __init__(self, num_envs, seed, n_agents=2):
        self.num_envs, self.n_agents, self.rng = num_envs, n_agents, np.random.default_rng(seed)

    def reset(self):
        self.avail_actions = self.rng.random((self.num_envs, self.n_agents, 3)) < 0.6
        self.avail_actions[..., 0] = True
        obs = self.rng.normal(size=(self.num_envs, self.n_agents, 4)).astype(np.float32)
        return obs, obs[:, 0]

    def step(self, actions):
        return *self.reset(), np.float32(3) * (actions[:, 0] != actions[:, 1]), np.zeros(self.num_envs, bool)

    def close(self):
        print("closed")


@pytest.mark.parametrize("residual", ["--residual", "--no-residual"])
def test_agreement_is_the_share_found_by_trying_every_joint_action(residual, capsys):
    name = Masked.__module__  # found beside the run, as a user's own would be
    Path("masked.py").write_text(f"import sys\nMasked = sys.modules[{name!r}].Masked\n")
    folder = train(qtran, "--env", "masked:Masked", residual)
    capsys.readouterr()
    __main__.show((folder,), episodes=4)
    out = capsys.readouterr().out
    assert "masked:Masked has no render(), so no episode is shown" in out
    assert out.count("closed") == 3  # to make the networks, to see whether there is a table, to play

    run = show.load(folder)
    episodes, frames = show.play(run, 4, 0)
    assert frames == []
    q_i, features = run.networks["agent"](torch.from_numpy(episodes.inputs[:-1]))
    agree = []
    for t, b in np.ndindex(5, 4):
        possible = [[u for u in range(3) if episodes.avail_actions[t, b, i, u]] for i in range(2)]
        q_jt = {
            u: run.networks["joint"](features[t, b][None, None], torch.tensor([[u]])).item()
            + (residual == "--residual") * sum(q_i[t, b, i, u[i]].item() for i in range(2))
            for u in product(*possible)
        }
        own = tuple(max(possible[i], key=lambda u: q_i[t, b, i, u].item()) for i in range(2))
        agree.append(max(q_jt, key=q_jt.get) == own)
    assert 0 < sum(agree) < len(agree)
    assert f"best joint action by Q_jt is the agents' own: in {np.mean(agree):.1%} of states" in out

    many = train(qtran, "--env", "masked:Masked", "--env-args", "n_agents", 8)  # 3^8 joint actions
    __main__.show((many,), episodes=1)
    assert "the agents' own: not computed, there are too many of them" in capsys.readouterr().out


def test_no_table_where_episodes_differ(capsys):
    __main__.show((train(qtran, "--env", "gaussian_squeeze", "--env-args", "n_agents", 2),))
    out = capsys.readouterr().out
    assert "rows: actions" not in out and "\ns = 0." in out and "mean return of 32 greedy episodes" in out


def test_renamed_copy_with_an_environment_of_its_own(capsys):
    Path("my_vdn.py").write_text(Path(vdn.__file__).read_text())
    for name in ("envs.py", "other_envs.py"):
        shutil.copy(ROOT / name, name)
    Path("my_game.py").write_text(
        "import envs\nclass Easy(envs.MatrixGame):\n    payoff = 1 - envs.MatrixGame.payoff\n"
    )
    argv = [sys.executable, "my_vdn.py", "--env", "my_game:Easy", *SHORT]
    subprocess.run(argv, check=True, capture_output=True)
    shown = subprocess.run(
        [sys.executable, "-m", "benchmark", "show", next(Path.cwd().glob("runs/*"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("my_vdn on my_game:Easy, seed 1") and "payoff     -7.00" in shown.stdout


def test_what_is_missing_is_one_line(capsys):
    def error(*runs, **options):
        with pytest.raises(SystemExit) as stopped:
            __main__.show(runs, **options)
        assert stopped.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "there is no run below runs/" in error()
    folder = train(vdn, "--env", "matrix_game")
    capsys.readouterr()
    assert "nowhere has no config.json" in error(Path("nowhere"))
    assert "--episodes must be at least 1, got 0" in error(folder, episodes=0)
    assert "--figure must be a file" in error(folder, figure=Path("no/such/folder.png"))
    assert "--gif must be a file .gif" in error(folder, gif=Path("film.mp4"))

    config, model = folder / "config.json", (folder / "model.pt").read_bytes()
    (folder / "model.pt").write_bytes(model[:1000])
    assert "model.pt does not fit vdn.py and matrix_game" in error(folder)
    (folder / "model.pt").unlink()
    assert "has no model.pt; a run has one after its first evaluation" in error(folder)
    (folder / "model.pt").write_bytes(model)
    original = json.loads(config.read_text())
    for change, message in (
        ({"hidden_dim": 32}, "model.pt does not fit vdn.py and matrix_game"),
        ({"command": ["gone/my_vdn.py"]}, "was made by gone/my_vdn.py, which is not there any more"),
        ({"env": "chess"}, "environment must be one of"),
        ({"env_args": {"speed": 3}}, "matrix_game has no option 'speed', it has: none"),
        ({"env": "gone:Game"}, "gone:Game cannot be imported"),
        ({"command": []}, "config.json cannot be used"),
    ):
        config.write_text(json.dumps(original | change))
        assert message in error(folder)
    config.write_text("{")
    assert "config.json cannot be used" in error(folder)
