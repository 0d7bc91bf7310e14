"""The experiment of a study: found, made, or repaired where somebody changed it."""

from collections.abc import Mapping
from urllib.parse import quote

from raysweep.text import as_markdown
from raysweep.tracking.address import Address
from raysweep.tracking.client import (
    Experiment,
    MlflowClient,
    MlflowException,
    ViewType,
    exists_already,
)
from raysweep.tracking.known import NOTE, changed_tags
from raysweep.tracking.views import PREFIX as VIEWS

ARTIFACTS = "mlartifacts"
STUDY_NAME_TAG = "raysweep.study"
_MAX_TAG = 20_000


def open_experiment(
    client: MlflowClient,
    address: Address,
    name: str,
    description: str,
    tags: Mapping[str, str],
    earlier: str,
) -> str:
    """The id of a study's experiment, as the study wants it.

    One that was deleted is restored, one that was renamed gets its name back, tags and description
    are set again; a user's own tags stay.

    Args:
        client: of the store.
        address: of the store.
        name: of the study, which is the experiment's.
        description: shown on the experiment's page.
        tags: of the experiment.
        earlier: id of the experiment that the run folder was copied to before, or an empty text.
    """
    wanted = {
        **tags,
        STUDY_NAME_TAG: name,
        NOTE: as_markdown(description),
        "mlflow.experimentKind": "custom_model_development",
    }
    found = client.get_experiment_by_name(name) or _renamed(client, name, earlier)
    if found is None:
        _create(client, address, name, changed_tags({}, wanted, _MAX_TAG))
        found = client.get_experiment_by_name(name)
    return _repair(client, name, found, wanted)


def _create(client: MlflowClient, address: Address, name: str, tags: Mapping[str, str]) -> None:
    try:
        client.create_experiment(
            name, artifact_location=_artifact_location(address, name), tags=dict(tags)
        )
    except MlflowException as error:
        # Another run of the study may have been quicker.
        if not exists_already(error):
            raise


def _renamed(client: MlflowClient, name: str, earlier: str) -> Experiment | None:
    """The study's experiment under a name that somebody else gave it."""
    found, token = [], None
    while True:
        page = client.search_experiments(view_type=ViewType.ALL, page_token=token)
        for experiment in page:
            study = experiment.tags.get(STUDY_NAME_TAG)
            # A number may be another experiment's by now: of a database that was made anew.
            known = experiment.experiment_id == earlier and study != experiment.name
            if study == name or (known and _is_ours(experiment)):
                found.append(experiment)
        token = page.token
        if not token:
            break
    return max(
        found, key=lambda e: (e.experiment_id == earlier, e.creation_time or 0), default=None
    )


def _repair(client: MlflowClient, name: str, found: Experiment, wanted: Mapping[str, str]) -> str:
    experiment_id = str(found.experiment_id)
    if found.lifecycle_stage != "active":
        client.restore_experiment(experiment_id)
    if found.name != name:
        client.rename_experiment(experiment_id, name)
    for key, value in changed_tags(found.tags, wanted, _MAX_TAG).items():
        if value:
            client.set_experiment_tag(experiment_id, key, value)
    return experiment_id


def _artifact_location(address: Address, name: str) -> str | None:
    database = address.database
    if database is not None:
        return (database.parent / ARTIFACTS / name).as_uri()
    # Of a database that others serve, MLflow would keep the files in this working directory;
    # this leaves them to the server.
    return None if address.holds_files else f"mlflow-artifacts:/{quote(name, safe='')}"


def _is_ours(experiment: Experiment) -> bool:
    return any(name.startswith(("raysweep.", VIEWS)) for name in experiment.tags)
