"""Texts of a user's on the screen: as they are, whatever they hold."""

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_display import finished_effects

from raysweep.cli.terminal import Screen
from raysweep.display import verdict_table
from raysweep.wording import visible
