"""cluster/kuberay.yaml has the fields and types of KubeRay's RayJob, down to the last container."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import models

MANIFEST = Path(__file__).parents[2] / "cluster" / "kuberay.yaml"

# KubeRay's own types, of which no Python package has a schema: the fields in the reference of
# ray.io/v1 (release 1.6) and their types. Kubernetes's types are its client's.
RAY_TYPES = {
    "RayJob": {
        "apiVersion": "str",
        "kind": "str",
        "metadata": "V1ObjectMeta",
        "spec": "RayJobSpec",
    },
    "RayJobSpec": {
        "activeDeadlineSeconds": "int",
        "backoffLimit": "int",
        "clusterSelector": "Dict[str, str]",
        "deletionStrategy": "DeletionStrategy",
        "entrypoint": "str",
        "entrypointNumCpus": "float",
        "entrypointNumGpus": "float",
        "entrypointResources": "str",
        "jobId": "str",
        "managedBy": "str",
        "metadata": "Dict[str, str]",
        "rayClusterSpec": "RayClusterSpec",
        "runtimeEnvYAML": "str",
        "shutdownAfterJobFinishes": "bool",
        "submissionMode": "K8sJobMode|HTTPMode|InteractiveMode|SidecarMode",
        "submitterConfig": "SubmitterConfig",
        "submitterPodTemplate": "V1PodTemplateSpec",
        "suspend": "bool",
        "ttlSecondsAfterFinished": "int",
    },
    "SubmitterConfig": {"backoffLimit": "int"},
    "RayClusterSpec": {
        "authOptions": "AuthOptions",
        "autoscalerOptions": "AutoscalerOptions",
        "enableInTreeAutoscaling": "bool",
        "gcsFaultToleranceOptions": "GcsFaultToleranceOptions",
        "headGroupSpec": "HeadGroupSpec",
        "headServiceAnnotations": "Dict[str, str]",
        "managedBy": "str",
        "rayVersion": "str",
        "suspend": "bool",
        "workerGroupSpecs": "List[WorkerGroupSpec]",
    },
    "AuthOptions": {
        "enableK8sTokenAuth": "bool",
        "mode": "disabled|token",
        "secretName": "str",
    },
    "AutoscalerOptions": {
        "env": "List[V1EnvVar]",
        "envFrom": "List[V1EnvFromSource]",
        "idleTimeoutSeconds": "int",
        "image": "str",
        "imagePullPolicy": "str",
        "resources": "V1ResourceRequirements",
        "securityContext": "V1SecurityContext",
        "upscalingMode": "Default|Aggressive|Conservative",
        "version": "v1|v2",
        "volumeMounts": "List[V1VolumeMount]",
    },
    "HeadGroupSpec": {
        "enableIngress": "bool",
        "headService": "V1Service",
        "rayStartParams": "Dict[str, str]",
        "serviceType": "str",
        "template": "V1PodTemplateSpec",
    },
    "WorkerGroupSpec": {
        "groupName": "str",
        "idleTimeoutSeconds": "int",
        "maxReplicas": "int",
        "minReplicas": "int",
        "numOfHosts": "int",
        "rayStartParams": "Dict[str, str]",
        "replicas": "int",
        "scaleStrategy": "ScaleStrategy",
        "suspend": "bool",
        "template": "V1PodTemplateSpec",
    },
}
PLAIN = {"str": str, "int": int, "float": int | float, "bool": bool, "object": object}


def fields_of(kind: str) -> dict[str, str] | None:
    """Field name in YAML -> type; None where a type is no structure that is known."""
    if kind in RAY_TYPES:
        return RAY_TYPES[kind]
    model = getattr(models, kind, None)
    if model is None:
        return None
    return {model.attribute_map[name]: of for name, of in model.openapi_types.items()}


def faults(value: Any, kind: str, place: str) -> list[str]:
    """What Kubernetes would refuse or drop in a value of a type, each with its place."""
    if inner := re.fullmatch(r"List\[(\w+)\]", kind):
        if not isinstance(value, list):
            return [f"{place}: no list"]
        return [f for i, item in enumerate(value) for f in faults(item, inner[1], f"{place}[{i}]")]
    if inner := re.fullmatch(r"Dict\[str, (\w+)\]", kind):
        if not isinstance(value, dict):
            return [f"{place}: no mapping"]
        return [f for k, item in value.items() for f in faults(item, inner[1], f"{place}.{k}")]
    if kind in PLAIN:
        fits = isinstance(value, PLAIN[kind]) and (kind != "int" or not isinstance(value, bool))
        return [] if fits else [f"{place}: {value!r} is no {kind}"]
    if "|" in kind:
        return [] if value in kind.split("|") else [f"{place}: {value!r} is none of {kind}"]
    known = fields_of(kind)
    if known is None or not isinstance(value, dict):
        return [f"{place}: {value!r} cannot be held against {kind}"]
    found = []
    for name, item in value.items():
        if name in known:
            found += faults(item, known[name], f"{place}.{name}")
        else:
            found.append(f"{place}.{name}: no field of {kind}")
    return found


@pytest.fixture
def job() -> Any:
    """The manifest."""
    return yaml.safe_load(MANIFEST.read_text())


def test_every_field_exists_and_has_its_type(job: Any) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert faults(job, "RayJob", "job") == []


def _container(job: Any) -> Any:
    return job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda job: job["spec"].update(retries=2), "job.spec.retries: no field"),
        (lambda job: job["spec"].update(backoffLimit="2"), "job.spec.backoffLimit: '2'"),
        (
            lambda job: job["spec"]["rayClusterSpec"]["autoscalerOptions"].update(idle=1),
            "autoscalerOptions.idle: no field",
        ),
        (lambda job: _container(job).update(volumeMount=[]), "containers[0].volumeMount: no field"),
        (lambda job: _container(job)["resources"]["limits"].update(cpu=2), "limits.cpu: 2"),
        (
            lambda job: _container(job)["envFrom"][0]["secretRef"].update(key="x"),
            "envFrom[0].secretRef.key: no field",
        ),
    ],
)
def test_a_field_that_does_not_exist_would_be_seen(
    job: Any, spoil: Callable[[Any], None], expected: str
) -> None:
    # The anchor of the YAML shares what it names between containers; each is spoilt for itself.
    job = yaml.safe_load(yaml.dump(job, Dumper=_Plain))
    spoil(job)
    [fault] = faults(job, "RayJob", "job")
    assert expected in fault


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def test_groups_mount_what_they_have_and_share_an_image(job: Any) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    pods = [
        group["template"]["spec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    ]
    for pod in pods:
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
    assert len({c["image"] for pod in pods for c in pod["containers"]}) == 1
