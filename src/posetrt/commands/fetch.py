"""Download a network's published weights.

  posetrt fetch openpose-body25
  posetrt fetch openpose-body25 --from ~/Downloads/pose_iter_584000.caffemodel

The published addresses are tried one after the other; a download that was cut goes on where it stopped. The file is checked
against the hash that its authors published, or against the one recorded at the first download.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SUMMARY = "download a network's published weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `posetrt fetch`."""
    parser.add_argument("network", metavar="NETWORK", help="a name that `posetrt export --list` shows")
    parser.add_argument("--from", dest="source", metavar="URL|FILE", help="in place of the published addresses")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path("weights"), help="default: weights/")


def run(args: argparse.Namespace) -> int:
    """Fetch, and print the path."""
    from posetrt.export.weights.fetch import fetch
    from posetrt.export.weights.zoo import find_network

    network = find_network(args.network)
    print(f"licence: {network.licence}", file=sys.stderr)
    fetched = fetch(network, args.output, args.source)
    print(f"{fetched.trust}; sha256 {fetched.sha256}" if fetched.source else f"already here: {fetched.trust}", file=sys.stderr)
    print(fetched.path)
    print(f"next: posetrt export {network.name} --weights {fetched.path} -o person/", file=sys.stderr)
    return 0
