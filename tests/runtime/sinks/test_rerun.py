"""A rerun recording is read by rerun's own reader: parts, limbs, boxes, events, each at its frame; whoever left is cleared."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.sinks.choose import open_sink
from tests.runtime.sinks.test_foxglove import SKELETON, result
from tests.tiny_model import tiny_folder

pytest.importorskip("rerun")
