"""The files in cluster/ are valid for what reads them."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from raysweep import __version__

CLUSTER = Path(__file__).parents[1] / "cluster"
COMMAND = re.compile(r"raysweep run \S+ --out \S+ --address \S+")


def read(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def test_the_launcher_of_ray_accepts_its_file() -> None:
    from raysweep import ray_cluster  # noqa: F401 - before ray

    # isort: split
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = read("aws.yaml")
    validate_config(prepare_config(config))
    kinds = config["available_node_types"]
    assert config["head_node_type"] in kinds
    worker = kinds["gpu_worker"]
    assert worker["resources"]["GPU"] == 1
    assert worker["min_workers"] < worker["max_workers"] <= config["max_workers"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    lines = (CLUSTER.parent / "constraints.txt").read_text().splitlines()
    [version] = [line.partition("==")[2] for line in lines if line.startswith(f"{package}==")]
    return version


def test_nodes_on_aws_have_a_python_and_the_right_to_write_results() -> None:
    config = read("aws.yaml")
    machines = [kind["node_config"] for kind in config["available_node_types"].values()]
    for machine in machines:
        # A literal id: Ray resolves nothing, and its default has Python 3.6.
        assert re.fullmatch(r"ami-(REPLACE|[0-9a-f]{8,17})", machine["ImageId"])
        assert machine["IamInstanceProfile"] == {"Name": "raysweep"}
    assert {machine["InstanceType"] for machine in machines} == {"m6i.xlarge", "g5.xlarge"}
    readme = (CLUSTER / "README.md").read_text()
    assert "ubuntu-24.04/latest/ami-id" in readme
    assert "aws iam add-role-to-instance-profile --instance-profile-name raysweep" in readme
    assert '"iam:PassRole", "Resource": "arn:aws:iam::*:role/raysweep"' in readme


def test_nodes_on_aws_install_the_versions_that_were_tested() -> None:
    config = read("aws.yaml")
    mounted = config["file_mounts"]
    for source in ("constraints.txt", "dist"):
        assert source in mounted.values()
    [constraints] = [place for place, source in mounted.items() if source == "constraints.txt"]
    commands = [*config["setup_commands"], *config["head_setup_commands"]]
    installing = [line for line in commands if "pip install" in line]
    assert any("raysweep-*.whl" in line for line in installing)
    for line in installing:
        assert f"-c {constraints.replace('/home/ubuntu', '$HOME')} " in line
    pinned("boto3")


def test_a_study_waits_for_the_first_worker_where_workers_come_with_the_demand() -> None:
    readme = (CLUSTER / "README.md").read_text()
    [line] = [line for line in readme.splitlines() if "ray exec" in line]
    for command in (line, read("kuberay.yaml")["spec"]["entrypoint"]):
        assert "--wait 900" in command
        # By default a database in the working directory, which goes with the node.
        assert "--no-mlflow" in command


def test_the_image_for_kuberay_is_of_the_ray_that_is_pinned() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    start, copy, run = instructions
    assert re.fullmatch(rf"FROM rayproject/ray:{re.escape(pinned('ray'))}-py31[12]-gpu", start)
    assert f"constraints.txt dist/raysweep-{__version__}-*.whl" in copy
    assert "pip install --no-cache-dir -c /home/ray/raysweep/constraints.txt" in run
    [head, *workers] = [
        read("kuberay.yaml")["spec"]["rayClusterSpec"]["headGroupSpec"],
        *read("kuberay.yaml")["spec"]["rayClusterSpec"]["workerGroupSpecs"],
    ]
    for group in (head, *workers):
        [container] = group["template"]["spec"]["containers"]
        assert container["image"] == f"REGISTRY/raysweep:{__version__}"
        assert f"-t {container['image']} " in text


def test_the_job_of_kuberay_runs_the_ray_that_is_pinned() -> None:
    assert read("kuberay.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned("ray")


@pytest.mark.parametrize("name", ["slurm.sh", "local_nodes.sh"])
def test_scripts_are_valid_and_say_how_to_use_them(name: str) -> None:
    script = CLUSTER / name
    assert subprocess.run(["bash", "-n", script], capture_output=True).returncode == 0
    assert script.stat().st_mode & stat.S_IXUSR
    done = subprocess.run([script], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        f"usage: {'sbatch [options] ' if name == 'slurm.sh' else ''}cluster/{name}" in done.stderr
    )


def test_everything_runs_the_same_command() -> None:
    assert COMMAND.search((CLUSTER / "README.md").read_text())
    assert COMMAND.search(read("kuberay.yaml")["spec"]["entrypoint"])
    for name in ("slurm.sh", "local_nodes.sh"):
        assert COMMAND.search((CLUSTER / name).read_text())
