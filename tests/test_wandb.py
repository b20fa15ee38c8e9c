"""`python -m benchmark wandb` against a W&B server of the tests' own: what arrives, what a second call does, errors."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_wandb import KEY, FakeWandb

from benchmark import __main__, runner, suites, wandb_report
from benchmark.report import STYLES

ROOT = Path(__file__).resolve().parent.parent
RUNS = ["matrix_game__qtran-alt__1", "matrix_game__vdn__1", "predator_prey_2v1_1.5__vdn__1"]
STEPS = [200, 400, 600, 800]


@pytest.fixture
def server():
    server = FakeWandb()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path):
    """A copy of the project in which three runs of the suite smoke are kept."""
    for name in ("envs.py", "iql.py", "vdn.py", "qmix.py", "qtran.py"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "benchmark", tmp_path / "benchmark", ignore=shutil.ignore_patterns("results", "figures"))
    keep(tmp_path, RUNS)
    return tmp_path


def keep(project, names, first_return=1.0):
    records, lines = {}, [",".join(["run", *runner.COLUMNS])]
    for job in suites.jobs("smoke", names):
        dropped = {"wandb_mode", "wandb_project_name", "wandb_entity"}
        arguments = {name: value for name, value in runner.arguments(job.command).items() if name not in dropped}
        records[job.name] = {"arguments": arguments, "commit": "c" * 40, "versions": {"torch": "2"}, "exit_code": 0}
        for k, step in enumerate(STEPS):
            values = {"global_step": step, "eval/return_mean": first_return + k, "losses/td": 0.5}
            lines.append(",".join([job.name, *(str(values.get(name, "")) for name in runner.COLUMNS)]))
    folder = project / "benchmark/results/smoke"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.json").write_text(json.dumps(records))
    (folder / "curves.csv").write_text("\n".join(lines) + "\n")


def upload(project, url, key=KEY, entity="you"):
    """Exit code, stdout and stderr of `python -m benchmark wandb`."""
    command = [sys.executable, "-m", "benchmark", "wandb", "--entity", entity, "--suite", "smoke"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    env |= {"HOME": str(project), "WANDB_BASE_URL": url} | ({"WANDB_API_KEY": key} if key else {})
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def fails(project, url, **options):
    """The line with which it ends, within 30 seconds."""
    begin = time.monotonic()
    code, _, stderr = upload(project, url, **options)
    assert code == 1 and stderr.count("\n") == 1 and time.monotonic() - begin < 30, stderr
    return stderr


def rows(run):
    return [run["history"][k] for k in sorted(run["history"])]


def complete(server, entity="you"):
    """The runs of an entity by name, all of which have arrived whole."""
    runs = {run["displayName"]: run for (of, _, _), run in server.runs.items() if of == entity}
    for run in runs.values():
        assert run["state"] == "finished" and [row["global_step"] for row in rows(run)] == STEPS
    return runs


def test_everything_arrives_once(project, server):
    code, stdout, stderr = upload(project, server.url)
    assert code == 0, stderr
    assert stdout.splitlines()[-1].startswith("3 runs are in you/value-factorisation; the report: http")
    runs = complete(server)
    assert sorted(runs) == RUNS
    run = runs["predator_prey_2v1_1.5__vdn__1"]
    config = {name: value["value"] for name, value in json.loads(run["config"]).items()}
    assert (run["groupName"], run["commit"]) == ("smoke__predator_prey_2v1_1.5", "c" * 40)
    assert run["program"] == "vdn.py" and "host" not in run  # not of the machine that uploads it
    assert sorted(run["tags"]) == ["kept", "predator_prey", "vdn"]
    assert (config["algo"], config["commit"], config["seed"], config["gamma"]) == ("vdn", "c" * 40, 1, 0.9)
    assert (
        config["env_args"]["penalty"] == 1.5
        and config["env_args"]["grid_size"] == 5
        and config["versions"] == {"torch": "2"}
    )
    logged = [{name: value for name, value in row.items() if name[0] != "_"} for row in rows(run)]
    assert logged[1] == {"global_step": 400, "eval/return_mean": 2.0, "losses/td": 0.5}
    defined = config["_wandb"]["m"]  # "*" is plotted over the metric of which this is the number
    assert [metric.get("1", metric.get("2")) for metric in defined] == ["*", "global_step"] and defined[0]["5"] == 2

    # A second call uploads nothing, and updates the report.
    (first,) = server.reports.values()
    streamed = server.n_streamed
    code, stdout, _ = upload(project, server.url)
    assert code == 0 and "3 runs, 3 of them uploaded before" in stdout
    assert server.n_streamed == streamed and len(server.reports) == 1 and first not in server.reports.values()

    # Another entity has the runs of its own, and one of a result that was replaced since: the report leaves that out.
    replaced = next(key for key in server.runs if "matrix_game__vdn" in key[2])
    server.runs[("other", *replaced[1:])] = server.runs[replaced]
    keep(project, RUNS[:2], first_return=5.0)
    code, stdout, stderr = upload(project, server.url, entity="other")
    assert code == 0 and "2 runs, 0 of them uploaded before" in stdout, stderr
    assert [of for of, _, _ in server.runs].count("other") == 3
    (spec,) = [json.loads(view["spec"]) for view in server.reports.values() if view["entityName"] == "other"]
    ids = [id for section in sections(spec).values() for id in ids_of(section)]
    shown = {run["displayName"]: run for run in (server.runs["other", "value-factorisation", id] for id in ids)}
    assert sorted(shown) == RUNS[:2] and all(rows(run)[0]["eval/return_mean"] == 5.0 for run in shown.values())


def test_an_upload_that_breaks_off_goes_on(project, server):
    server.rows_left = 5  # the server fails in the second run
    code, _, stderr = upload(project, server.url)
    assert code == 1 and stderr.count("\n") == 1 and "W&B: matrix_game__" in stderr, stderr
    assert sorted(len(rows(run)) for run in server.runs.values()) == [1, 4] and not server.reports
    server.fails, server.rows_left, streamed = False, None, server.n_streamed
    code, _, stderr = upload(project, server.url)
    assert code == 0, stderr
    assert sorted(complete(server)) == RUNS and len(server.reports) == 1
    assert server.n_streamed == streamed + 2  # the rest of the second, and the third


def test_nothing_to_upload(project, server):
    shutil.rmtree(project / "benchmark/results")
    assert "no run of the suite smoke is finished" in fails(project, server.url)
    assert not server.runs and not server.reports


def test_no_report_over_runs_that_do_not_arrive(project, monkeypatch, capsys):
    monkeypatch.setattr(runner, "RESULTS", project / "benchmark/results")
    monkeypatch.setattr(wandb_report, "connect", lambda: None)
    monkeypatch.setattr(wandb_report, "upload", lambda *args: None)
    monkeypatch.setattr(wandb_report, "missing", lambda api, entity, project, jobs: jobs[1:])
    monkeypatch.setattr(wandb_report, "save", lambda *args: pytest.fail("a report"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit, match="1"):
        __main__.wandb("you", suite="smoke")
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "2 of 3 runs have not arrived in you/value-factorisation" in error


@pytest.mark.parametrize("key, told", [(None, "`wandb login`"), ("b" * 40, "not logged in")])
def test_a_key_that_is_missing_or_refused(project, server, key, told):
    assert told in fails(project, server.url, key=key) and not server.runs


def test_a_server_that_fails_or_is_down(project, server):
    server.fails = True
    assert "HTTP 500" in fails(project, server.url)
    server.shutdown()
    server.server_close()
    assert "connection refused" in fails(project, server.url)


def sections(spec):
    """{title: the panel grid} of a report."""
    titles = [block["children"][0]["text"] for block in spec["blocks"] if block["type"] == "heading"]
    grids = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    return dict(zip(titles, grids, strict=True))


def ids_of(section):
    """Of the runs that a section shows."""
    (runs,) = section["runSets"]
    (condition,) = runs["filters"]["filters"]
    assert (condition["key"], condition["op"]) == ({"section": "run", "name": "name"}, "IN")
    return condition["value"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_report_has_a_section_for_each_game_and_metrics_that_are_kept():
    jobs = suites.jobs("paper")
    drafted = wandb_report.report("somebody", "a-project", jobs)
    spec = json.loads(drafted._to_model().spec.model_dump_json(by_alias=True))
    texts = [block["content"] for block in spec["blocks"] if block["type"] == "markdown-block"][1:]
    games, kept = sections(spec), [set(runner.curve("paper", name)) for name in runner.kept("paper")[0]]
    assert list(games) == [suites.GAMES[name].title for name in suites.arguments("paper")]
    for name, text, section in zip(suites.arguments("paper"), texts, games.values(), strict=True):
        game, (runs,) = suites.GAMES[name], section["runSets"]
        optimum = "The optimum is not known" if game.optimum is None else f"Optimum: {game.optimum}"
        assert f"\n{optimum}; random play: {game.random}.\n" in text
        assert ids_of(section) == [wandb_report.run_id(job) for job in jobs if job.game == name]
        assert runs["grouping"] == [{"section": "config", "name": "algo.value"}]
        algos = {job.algo for job in jobs if job.game == name}
        colours = {f"{runs['id']}-config:algo.value:{algo}": STYLES[algo][0] for algo in algos}
        assert section["customRunColors"] == colours
        panels = [panel["config"] for panel in section["panelBankSectionConfig"]["panels"]]
        assert all(panel["xAxis"] == "global_step" and panel["xAxisTitle"] == "environment steps" for panel in panels)
        assert [panel["metrics"] for panel in panels] == [[metric] for metric in wandb_report.PANELS]
        assert [panel["yAxisTitle"] for panel in panels] == [*wandb_report.PANELS.values()]
        assert {(panel["groupBy"], panel["groupAgg"], panel["groupArea"]) for panel in panels} == {
            ("algo.value", "mean", "stderr")
        }
    assert kept and all(wandb_report.PANELS.keys() <= columns for columns in kept)
