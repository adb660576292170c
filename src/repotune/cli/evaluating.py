"""The parsers of what `repotune evaluate` can do beside the step of that name. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from pathlib import Path

_LEARNT = "corpora that the models learnt from: what is in them is not asked"


def add_actions(room: argparse.ArgumentParser) -> None:
    """Adds them below `room`, the parser of `repotune evaluate`."""
    actions = room.add_subparsers(title="of any model", metavar="ACTION")
    _add_benchmark(actions)
    _add_compare(actions)
    _add_ablate(actions)
    _add_leaks(actions)


def _add_benchmark(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "measure a model on HumanEval, MBPP, MultiPL-E, their infilling, or holes in the syntax"
    parser = _action(actions, "benchmark", "benchmarks:benchmark", text)
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


def _add_compare(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "two or more models on the same holes of your code, or results of a benchmark; a gate's status is 0 or 3"
    parser = _action(actions, "compare", "comparing:compare", text)
    parser.add_argument("models", nargs="+", type=Path, metavar="FOLDER", help="the old model first, or results")
    parser.add_argument(
        "--corpus", type=Path, metavar="FOLDER", help="whose test split is asked (default: the project's)"
    )
    parser.add_argument("--learnt", type=Path, nargs="+", default=[], metavar="FOLDER", help=_LEARNT)
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="default: comparisons/ of the workspace")
    parser.add_argument("--measure", help="the gate's: bits_per_byte, exact_match, line.exact_match, pass@1, …")
    parser.add_argument(
        "--margin", type=float, help="the gate: how much worse the new model may be, in the measure's unit"
    )
    parser.add_argument("--better", action="store_true", help="the gate: the new model must be better beyond chance")


def _add_ablate(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "the same training with other settings, at a small scale, compared"
    parser = _action(actions, "ablate", "comparing:ablate", text)
    parser.add_argument("variants", type=Path, metavar="VARIANTS.toml", help="a table of settings for each variant")
    parser.add_argument("--size", default="1m", help="of the models (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="of each training (default: %(default)s)")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1],
        metavar="SEED",
        help="several are trained and judged together (default: 1)",
    )
    parser.add_argument("--folder", type=Path, help="default: ablations/ of the workspace")


def _add_leaks(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "what must not come out: text by heart, secrets, personal data, insecure code; a gate's status is 0 or 3"
    parser = _action(actions, "leaks", "leaks:leaks", text)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="default: this project's release")
    parser.add_argument("--prompts", type=int, default=200, metavar="N", help="of each kind (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="answers to each (default: %(default)s)")
    parser.add_argument("--canaries", type=Path, metavar="FILE", help="planted ones, to be looked for")
    parser.add_argument("--plant", type=Path, metavar="FILE", help="only write new canaries to FILE")
    parser.add_argument("--gate", type=float, metavar="RATE", help="the most verbatim text that may come out, 0 to 1")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, handler: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(handler=handler)
    # Suppressed, so that one given before the action stays.
    parser.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="default: ./repotune.toml")
    return parser
