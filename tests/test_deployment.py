"""The recipes for Slurm, Kubernetes and containers say what their tools, and nervenet, understand."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.scripts.main import build

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
CONTAINERS, CLUSTER = ROOT / "examples" / "containers", ROOT / "examples" / "cluster"
SITES = ("north", "south", "west")


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())["services"]
    return services


def parsed(words: list[str]) -> dict[str, Any]:
    """What a command line of nervenet says, option by option; nothing of it is done."""
    app = build()
    command = app.get_command(None, words[0])  # type: ignore[arg-type]
    assert command is not None, words
    # With what the app says of all commands: click keeps the help option that a command is first given.
    values: dict[str, Any] = command.make_context(words[0], list(words[1:]), **app.context_settings).params
    return values


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where each of a service's folders and files is from, by its path in the container."""
    return {inside: outside for outside, inside, *_ in (volume.split(":") for volume in service["volumes"])}


def test_each_container_runs_a_command_that_there_is() -> None:
    services = compose()
    assert list(services) == ["broker", "coordinator", *SITES]
    broker = parsed(services["broker"]["command"])
    assert (broker["bind"], broker["advertise"]) == ("tcp://0.0.0.0:5555", "broker")
    runs = set()
    for name in ("coordinator", *SITES):
        node = parsed(services[name]["command"])
        assert node["role"] == ("coordinator" if name == "coordinator" else "client")
        assert node["broker"] == "tcp://broker:5555"
        assert str(node["file"]) in mounts(services[name])
        runs.add(node["run"])
    assert len(runs) == 1
    overrides = dict(parse.split("=", 1) for parse in parsed(services["coordinator"]["command"])["set"])
    settings = {**overrides, "network.advertise": "coordinator", "network.keys": "/keys"}
    experiment = load_experiment(CONTAINERS / "experiment.toml", settings)
    assert experiment.nodes == len(SITES)


def test_each_container_has_its_own_keys_and_rows_and_nobody_elses() -> None:
    services = compose()
    for name, service in services.items():
        owner = name if name in SITES else "hub"
        outside = mounts(service)
        assert outside["/keys"] == f"./keys/{owner}"
        assert [path for path in outside.values() if path.startswith("./keys/")] == [f"./keys/{owner}"]
        rows = [path for path in outside.values() if path.startswith("./data/")]
        assert rows == ([f"./data/{name}.csv"] if name in SITES else [])
        assert service["image"] == "nervenet"
        assert all(volume.endswith(":ro") for volume in service["volumes"] if "./results" not in volume)


def test_the_keys_of_the_page_are_those_of_the_containers() -> None:
    page = (CONTAINERS / "README.md").read_text()
    made = re.findall(r"nervenet keys new (\w+) .*--out (\S+)", page)
    assert {f"./{folder}" for _, folder in made} == {mounts(service)["/keys"] for service in compose().values()}
    for line in re.findall(r"^nervenet (keys .*)$", page, re.MULTILINE):
        words = shlex.split(line)
        group = build().get_command(None, "keys")  # type: ignore[arg-type]
        command = group.get_command(None, words[1])  # type: ignore[union-attr, arg-type, attr-defined]
        assert command.make_context(words[1], words[2:], **build().context_settings).params


def test_the_image_is_built_of_what_there_is_and_of_all_that_is_needed() -> None:
    lines = (CONTAINERS / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["package-dir"].values()) <= set(copied)
    needed = {*project["project"]["license-files"], project["project"]["readme"], "pyproject.toml"}
    assert [path for path in needed if path not in copied and Path(path).parts[0] not in copied] == []
    extras = [line for line in lines if "pip install" in line]
    assert all(extra in project["project"]["optional-dependencies"] for extra in re.findall(r"\.\[(\w+)\]", extras[0]))
    assert 'ENTRYPOINT ["nervenet"]' in lines
    build_of = compose()["broker"]["build"]
    assert (CONTAINERS / build_of["context"]).resolve() == ROOT
    assert (ROOT / build_of["dockerfile"]).is_file()


def slurm() -> Any:
    spec = importlib.util.spec_from_file_location("on_slurm", CLUSTER / "on_slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_job_of_slurm_says_what_is_set_and_leaves_the_processes_to_nervenet() -> None:
    job = slurm().JOB
    assert job["processes"] == 1
    assert slurm().LINK["security"], "rows and keys travel over the cluster's link"
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue, which writes the job's script, is not installed")
    from dask_jobqueue.slurm import SLURMJob

    script = SLURMJob(scheduler="tls://192.0.2.1:8786", name="nervenet", protocol="tls://", **job).job_script()
    assert "#SBATCH -p compute" in script
    assert "#SBATCH -t 01:00:00" in script
    assert "#SBATCH --signal=TERM@60" in script
    assert re.search(r"distributed\.cli\.dask_worker tls://192\.0\.2\.1:8786 .*--nthreads 8 .*--lifetime 55m", script)


def test_the_cluster_of_kubernetes_is_encrypted_and_of_one_image() -> None:
    found = yaml.safe_load((CLUSTER / "kubernetes.yaml").read_text())
    assert (found["apiVersion"], found["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    spec = found["spec"]
    assert set(spec) == {"worker", "scheduler"}
    assert set(spec["worker"]) == {"replicas", "spec"}
    assert set(spec["scheduler"]) == {"spec", "service"}
    pods = [spec[role]["spec"] for role in ("worker", "scheduler")]
    [worker], [scheduler] = (pod["containers"] for pod in pods)
    assert worker["image"] == scheduler["image"]
    for pod, container in zip(pods, (worker, scheduler), strict=True):
        assert container["args"][container["args"].index("--protocol") + 1] == "tls"
        said = {each["name"]: each["value"] for each in container["env"]}
        assert said["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        assert {f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT" for role in ("SCHEDULER", "WORKER", "CLIENT")} <= set(said)
        [mounted] = container["volumeMounts"]
        assert all(value.startswith(mounted["mountPath"]) for value in said.values() if value != "true")
        assert [volume["name"] for volume in pod["volumes"]] == [mounted["name"]]
    service = spec["scheduler"]["service"]
    ports = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    assert (
        ports == {port["name"]: port["port"] for port in service["ports"]} == {"tcp-comm": 8786, "http-dashboard": 8787}
    )
    assert all(port["targetPort"] == port["name"] for port in service["ports"])
    assert service["selector"]["dask.org/cluster-name"] == found["metadata"]["name"]


def test_the_launch_beside_it_is_one_that_there_is() -> None:
    text = (CLUSTER / "kubernetes.yaml").read_text()
    [line] = re.findall(r"^#\s+nervenet (launch .*)$", text, re.MULTILINE)
    said = parsed(shlex.split(line))
    assert said["on"] == "dask+tls://nervenet-scheduler:8786"
    assert yaml.safe_load(text)["metadata"]["name"] == "nervenet"
