"""The parsers of what `repotune evaluate` can do beside the step of that name. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_actions(room: argparse.ArgumentParser) -> None:
    """Adds them below `room`, the parser of `repotune evaluate`."""
    actions = room.add_subparsers(title="of any model", metavar="ACTION")
    _add_benchmark(actions)


def _add_benchmark(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "measure a model on HumanEval, MBPP, MultiPL-E, their infilling, or holes in the syntax"
    parser = actions.add_parser("benchmark", help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(handler="benchmarks:benchmark")
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a name, a file, a folder or a data set on the hub"
    )
    parser.add_argument("--model", type=Path, nargs="+", metavar="FOLDER", help="default: this project's release")
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="default: benchmarks/ of this project's workspace"
    )
    parser.add_argument("--part", default="", help="the beginning of problems' ids; syntax: holes in the references")
    parser.add_argument("--most", type=int, metavar="N", help="at most N problems, taken by a hash")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="answers to each problem (default: 1)")
    parser.add_argument("--temperature", type=float, help="default: 0 for one answer, 0.2 for more")
    parser.add_argument("--top-p", type=float, default=0.95, help="default: %(default)s")
    parser.add_argument("--most-tokens", type=int, default=512, metavar="N", help="of an answer (default: %(default)s)")
    parser.add_argument("--level", choices=("confined", "full"), help="what the sandbox must reach (default: its best)")
    parser.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="default: ./repotune.toml")
