"""The files in cluster/ are valid for what reads them."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "cluster"
COMMAND = re.compile(r"raysweep run \S+ --out \S+ --address \S+")
# Names of the fields in the reference of KubeRay's ray.io/v1 (release 1.6), where they are used.
JOB_FIELDS = {
    "activeDeadlineSeconds",
    "backoffLimit",
    "clusterSelector",
    "deletionStrategy",
    "entrypoint",
    "entrypointNumCpus",
    "entrypointNumGpus",
    "entrypointResources",
    "jobId",
    "managedBy",
    "metadata",
    "rayClusterSpec",
    "runtimeEnvYAML",
    "shutdownAfterJobFinishes",
    "submissionMode",
    "submitterConfig",
    "submitterPodTemplate",
    "suspend",
    "ttlSecondsAfterFinished",
}
CLUSTER_FIELDS = {
    "authOptions",
    "autoscalerOptions",
    "enableInTreeAutoscaling",
    "gcsFaultToleranceOptions",
    "headGroupSpec",
    "headServiceAnnotations",
    "managedBy",
    "rayVersion",
    "suspend",
    "workerGroupSpecs",
}
HEAD_FIELDS = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKER_FIELDS = {
    "groupName",
    "idleTimeoutSeconds",
    "maxReplicas",
    "minReplicas",
    "numOfHosts",
    "rayStartParams",
    "replicas",
    "scaleStrategy",
    "suspend",
    "template",
}


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


def test_the_job_of_kuberay_has_fields_that_exist() -> None:
    job = read("kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert set(spec) <= JOB_FIELDS
    assert spec["submissionMode"] in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
    cluster = spec["rayClusterSpec"]
    assert set(cluster) <= CLUSTER_FIELDS
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["autoscalerOptions"]["upscalingMode"] in {
        "Default",
        "Aggressive",
        "Conservative",
    }
    assert set(cluster["headGroupSpec"]) <= HEAD_FIELDS
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= WORKER_FIELDS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
        images = {c["image"] for c in pod["containers"]}
        assert images == {groups[0]["template"]["spec"]["containers"][0]["image"]}


def test_the_job_of_kuberay_runs_the_ray_that_is_pinned() -> None:
    constraints = (CLUSTER.parent / "constraints.txt").read_text()
    version = read("kuberay.yaml")["spec"]["rayClusterSpec"]["rayVersion"]
    assert f"ray=={version}" in constraints.splitlines()


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
