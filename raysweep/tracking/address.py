"""Which MLflow: the address given, the one a run folder remembers, or the default."""

import contextlib
import json
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.kind import kind_of
from raysweep.tracking.database import LOCKED, fault_of

VIEW = "viewStateShareKey=raysweep-"
VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_URI = "sqlite:///mlflow.db"
REMEMBERED = "tracking.json"
REMEMBERED_RUNS = "tracking_runs.json"
FIRST_ANSWER_S = 5.0
_DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_EXPECTED = (
    "expected http://HOST:PORT of an MLflow server, sqlite:///FILE.db, or the URI of another "
    "database, such as postgresql://USER@HOST/NAME"
)

Source = Literal["given", "default"]


class TrackingUnavailable(InputError):
    """MLflow cannot be reached or refuses; the results are safe, and a later sync catches up."""

    def __init__(self, address: "Address", reason: str) -> None:
        self.reason = address.redacted(reason)
        super().__init__(
            f"MLflow at {address.shown}: {self.reason}; no result is lost, `raysweep sync "
            f"{address.folder}` copies what is missing"
        )


class TrackingBusy(TrackingUnavailable):
    """Another program writes there just now; a little later it may work."""


@dataclass(frozen=True)
class Address:
    """Where MLflow keeps its runs.

    Attributes:
        uri: the address; the path of a SQLite file is absolute.
        source: whether the user gave it for this folder, or it came from the environment or nobody.
        folder: the run folder it was resolved for, as an argument of the commands told to the user.
    """

    uri: str
    source: Source
    folder: str = "DIR"

    @property
    def is_local_server(self) -> bool:
        """Whether a server or database server takes the runs that works on this machine, too."""
        host = urlsplit(self.uri).hostname
        return host is not None and _is_here(host)

    @property
    def kind(self) -> str:
        """``http``, ``sqlite``, ``postgresql``, ``mysql``, ``mssql`` or ``databricks``."""
        scheme = urlsplit(self.uri).scheme or self.uri
        return "http" if scheme == "https" else scheme.partition("+")[0]

    @property
    def shown(self) -> str:
        """The address without its password."""
        return self.redacted(self.uri)

    @property
    def has_password(self) -> bool:
        """Whether the address holds a password, which is neither printed nor written down."""
        return urlsplit(self.uri).password is not None

    @property
    def database(self) -> Path | None:
        """The file of a SQLite database."""
        if self.kind != "sqlite":
            return None
        return Path(self.uri.removeprefix("sqlite:///").partition("?")[0])

    @property
    def holds_files(self) -> bool:
        """Whether files can be stored by this address: not in a database that others serve."""
        return self.kind not in _DEFAULT_PORTS

    def redacted(self, text: str) -> str:
        """The text with this address's password blanked."""
        password = urlsplit(self.uri).password
        return text.replace(f":{password}@", ":***@") if password else text

    def check(self) -> None:
        """See that something answers, within seconds; MLflow itself would try for minutes.

        Raises:
            TrackingUnavailable: nothing answers, or the database is locked or no database.
        """
        if self.kind == "http":
            self._check_server()
        elif self.database is not None:
            fault = fault_of(self.database, FIRST_ANSWER_S)
            if fault:
                raise (TrackingBusy if LOCKED in fault else TrackingUnavailable)(self, fault)
        elif self.kind in _DEFAULT_PORTS:
            self._check_port()

    def _check_server(self) -> None:
        try:
            with urllib.request.urlopen(self._without_credentials(), timeout=FIRST_ANSWER_S):
                pass
        except urllib.error.HTTPError:
            pass  # it answers; what it says to this request does not matter
        except (OSError, ValueError) as error:
            # Certificates are the business of MLflow's own client, which can be told to trust them.
            if "CERTIFICATE" not in str(error).upper():
                raise TrackingUnavailable(self, f"no server answers ({_cause(error)})") from error

    def _check_port(self) -> None:
        parts = urlsplit(self.uri)
        where = (parts.hostname or "localhost", parts.port or _DEFAULT_PORTS[self.kind])
        try:
            socket.create_connection(where, timeout=FIRST_ANSWER_S).close()
        except OSError as error:
            raise TrackingUnavailable(self, f"no database answers ({_cause(error)})") from error

    def _without_credentials(self) -> str:
        parts = urlsplit(self.uri)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def resolve_address(folder: RunFolder | None, given: str | None = None) -> Address:
    """The address to use, from the first that says one.

    That is: the one given; one that was given for this folder earlier; MLFLOW_TRACKING_URI; the one
    this folder was copied to earlier; ``sqlite:///mlflow.db`` in the working directory.

    Raises:
        InputError: the address is malformed, or of a kind that cannot be used.
    """
    address = _first_said(folder, given)
    return address if folder is None else replace(address, folder=folder.output.argument)


def _first_said(folder: RunFolder | None, given: str | None) -> Address:
    if given is not None:
        return Address(_checked(given, "--tracking-uri"), "given")
    earlier = remembered_address(folder) if folder is not None else None
    if earlier is not None and earlier.source == "given":
        return earlier
    if os.environ.get(VARIABLE):
        return Address(_checked(os.environ[VARIABLE], VARIABLE), "default")
    return earlier or Address(_checked(DEFAULT_URI, "default"), "default")


def remembered_address(folder: RunFolder) -> Address | None:
    """The address that a run folder was copied to last, or None."""
    note = _note(folder)
    with contextlib.suppress(InputError, KeyError):
        uri = _checked(note["uri"], REMEMBERED)
        return Address(uri, "given" if note["source"] == "given" else "default")
    return None


def remember(folder: RunFolder, address: Address, experiment_id: str = "") -> None:
    """Note the address in the run folder; one with a password replaces the note by none."""
    earlier = _note(folder)
    if earlier.get("uri") == address.uri and experiment_id in ("", earlier.get("experiment_id")):
        return
    # Who named an address first counts: the sidecar of a run gets it by its environment.
    source = earlier["source"] if earlier.get("uri") == address.uri else address.source
    content = {"uri": address.uri, "source": source, "experiment_id": experiment_id}
    with contextlib.suppress(OSError):
        if address.has_password:
            folder.output.delete(REMEMBERED)
        else:
            folder.output.write(REMEMBERED, json.dumps(content, indent=1).encode())


def remembered_page(folder: RunFolder, server: str) -> str:
    """The page of a run folder's experiment on a server, or the server's first page."""
    experiment_id = _note(folder).get("experiment_id")
    if not experiment_id:
        return server
    study = folder.study()
    return page(server, experiment_id, "" if study is None else kind_of(study).first_view)


def page(server: str, experiment_id: str, view: str = "") -> str:
    """The page that lists an experiment's runs, in one of the views that the copy has made.

    Without the type of the workflow the UI shows chat traces.
    """
    shared = f"&{VIEW}{view}" if view else ""
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning{shared}"


def remembered_experiment(folder: RunFolder, address: Address) -> str:
    """Id of the experiment that a run folder was copied to at an address, or an empty text."""
    note = _note(folder)
    return note.get("experiment_id", "") if note.get("uri") == address.uri else ""


def remembered_runs(folder: RunFolder) -> dict[str, str]:
    """Id in MLflow -> identity, of all runs of a folder that were ever copied to any address.

    One database has several addresses: its file may be moved, and a server may serve it. Of the
    runs of one identity the last has taken the place of the others.
    """
    return {run: identity for runs in _runs_note(folder).values() for run, identity in runs.items()}


def remember_runs(folder: RunFolder, address: Address, runs: Mapping[str, str]) -> None:
    """Note more runs in MLflow as the folder's, id -> identity: their tags may be deleted there."""
    note = _runs_note(folder)
    before = note.get(address.shown, {})
    if not runs.keys() <= before.keys():
        content = json.dumps({**note, address.shown: {**before, **runs}}, indent=1)
        # A folder that cannot be written can be copied all the same.
        with contextlib.suppress(OSError):
            folder.output.write(REMEMBERED_RUNS, content.encode())


def _runs_note(folder: RunFolder) -> dict[str, dict[str, str]]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(folder.output.read(REMEMBERED_RUNS) or b"{}")
        if isinstance(content, dict):
            return {
                str(address): {str(run): str(identity) for run, identity in runs.items()}
                for address, runs in content.items()
                if isinstance(runs, dict)
            }
    return {}


def _note(folder: RunFolder) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(folder.output.read(REMEMBERED) or b"{}")
        if isinstance(content, dict):
            return {str(name): str(value) for name, value in content.items()}
    return {}


def _checked(uri: str, where: str) -> str:
    scheme, separator, rest = uri.strip().partition("://")
    kind = scheme.partition("+")[0]
    if scheme == "databricks":
        return uri.strip()
    if not separator or kind not in ("http", "https", "sqlite", *_DEFAULT_PORTS):
        raise InputError(f"{where} {uri!r}: not an address of MLflow; {_EXPECTED}")
    try:
        parts = urlsplit(uri.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{where} {uri!r}: {error}; {_EXPECTED}") from error
    if kind != "sqlite":
        if not host or re.search(r"\s", uri.strip()):
            raise InputError(f"{where} {uri!r}: there is no host in it; {_EXPECTED}")
        return uri.strip().rstrip("/") if kind in ("http", "https") else uri.strip()
    path, question, query = rest.removeprefix("/").partition("?")
    if not rest.startswith("/") or not path or path == ":memory:":
        raise InputError(
            f"{where} {uri!r}: names no file; expected sqlite:///FILE.db (three slashes before a "
            "relative path, four before an absolute one)"
        )
    return f"sqlite:///{Path(path).expanduser().absolute()}{question}{query}"


def _is_here(host: str) -> bool:
    """Whether a host is this machine, by whichever of its names and addresses."""
    with contextlib.suppress(OSError, UnicodeError):
        for family, _, _, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as own:
                own.bind(place)  # only an address of this machine can be bound
                return True
    return False


def _cause(error: BaseException) -> str:
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner)
