"""The files in cluster/ are valid for what reads them."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from raysweep import __version__

CLUSTER = Path(__file__).parents[2] / "cluster"
COMMAND = re.compile(r"raysweep run \S+ --out \S+ --address \S+")


def read(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def test_the_launcher_of_ray_accepts_its_file() -> None:
    from raysweep.runners import ray_cluster  # noqa: F401 - before ray

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


# What Slurm and the nodes do with these commands; what they were called with goes to a file.
FAKES = {
    "srun": (
        'echo "srun $*" >> "$CALLS"; cpus=1; for word; do\n'
        "case $word in --cpus-per-task=*) cpus=${word#*=};; --nodelist=*) node=${word#*=};;\n"
        "--*) ;; *) break;; esac; shift; done\n"
        'STEP_CPUS=$cpus NODE=$node exec "$@"\n'
    ),
    "scontrol": 'printf "one\\ntwo\\n"\n',
    "hostname": 'echo "10.0.0.1 10.1.0.1 "\n',
    "ip": (
        '[[ "$*" == "-o -4 addr show dev ib0" ]] || { echo "no device" >&2; exit 1; }\n'
        "case $NODE in one) n=1;; two) n=2;; esac\n"
        'echo "3: ib0    inet 10.1.0.$n/16 brd 10.1.255.255 scope global ib0"\n'
    ),
    "ray": (
        '[[ $1 == status ]] && { printf " node_a\\n node_b\\n"; exit; }\n'
        'echo "ray on $NODE with $STEP_CPUS: $*" >> "$CALLS"; exec sleep 60\n'
    ),
    "raysweep": 'while (( $(grep -c "^ray on" "$CALLS") < 2 )); do sleep 0.05; done\n',
}


def slurm(folder: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run slurm.sh on fakes: what came of it, and what they were called with."""
    for name, body in FAKES.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}")
        (folder / name).chmod(0o755)
    own = {
        "PATH": os.pathsep.join(
            (str(folder), str(Path(sys.executable).parent), os.environ["PATH"])
        ),
        "CALLS": str(folder / "calls"),
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "6",
    }
    done = subprocess.run(
        [CLUSTER / "slurm.sh", "quickstart", "out"],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize("interface", ["", "ib0"])
def test_every_step_has_the_cpus_of_its_task_and_ray_the_network_chosen(
    tmp_path: Path, interface: str
) -> None:
    done, calls = slurm(tmp_path, RAYSWEEP_INTERFACE=interface)
    assert done.returncode == 0, done.stderr
    steps = [call for call in calls if call.startswith("srun ")]
    assert len(steps) >= 3
    assert all(" --cpus-per-task=6 " in step for step in steps)
    at = "10.1.0.1" if interface else "10.0.0.1"
    own = " --node-ip-address=10.1.0.2" if interface else ""
    assert sorted(call for call in calls if call.startswith("ray ")) == [
        f"ray on one with 6: start --head --node-ip-address={at} --port=20017 --num-cpus=6 "
        "--include-dashboard=false --block",
        f"ray on two with 6: start --address={at}:20017{own} --num-cpus=6 --block",
    ]


def test_an_interface_that_a_node_has_not_ends_the_job_at_once(tmp_path: Path) -> None:
    done, calls = slurm(tmp_path, RAYSWEEP_INTERFACE="eth7")
    assert done.returncode == 1
    assert "one has no IPv4 address on eth7; RAYSWEEP_INTERFACE must be one that" in done.stderr
    assert not [call for call in calls if call.startswith("ray ")]


def test_everything_runs_the_same_command() -> None:
    assert COMMAND.search((CLUSTER / "README.md").read_text())
    assert COMMAND.search(read("kuberay.yaml")["spec"]["entrypoint"])
    for name in ("slurm.sh", "local_nodes.sh"):
        assert COMMAND.search((CLUSTER / name).read_text())
