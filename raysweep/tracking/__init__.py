"""The trial table copied to MLflow, beside a run and never inside it.

The table is the only truth: a copy can be made again at any time, a second one writes nothing, and
an outage of MLflow costs a run nothing. Only ``client.py`` imports mlflow, and only once a copy is
made: a driver that starts a sidecar does not load it.
"""

from raysweep.tracking.address import (
    Address,
    TrackingUnavailable,
    remembered_address,
    resolve_address,
)
from raysweep.tracking.follow import follow, follow_until_input_ends
from raysweep.tracking.mirror import SyncReport, sync
from raysweep.tracking.sidecar import Sidecar, start_sidecar
from raysweep.tracking.ui import check_free, serve_ui, server_page, ui_command, ui_page

__all__ = [
    "Address",
    "Sidecar",
    "SyncReport",
    "TrackingUnavailable",
    "check_free",
    "follow",
    "follow_until_input_ends",
    "remembered_address",
    "resolve_address",
    "serve_ui",
    "server_page",
    "start_sidecar",
    "sync",
    "ui_command",
    "ui_page",
]
