"""`repotune …`: the parser, and the one place where an exception becomes a message and an exit status.

Exit status: 0 done, 1 a fault of repotune's (with its traceback), 2 something the user can mend, 3 a gate not
passed, 130 stopped by a signal. Nothing heavy is imported here, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from repotune import __version__
from repotune.cli.evaluating import add_actions
from repotune.core.errors import UserError

_DESCRIPTION = "Own your code-completion model: from your repositories to completions in your editor, on your machines."
_EPILOGUE = """\
a first look:    repotune demo
your own code:   repotune init PATH-OR-URL…, then repotune plan, repotune run, repotune serve
"""

_ROOM_STEPS = {
    "corpus": "collect, filter and deduplicate the code (corpus why PATH explains a file, corpus remove takes it out)",
    "tokenizer": "train the vocabulary and encode the corpus (tokenizer compare FOLDER… measures others)",
    "train": "train the model",
    "evaluate": "measure the model on held-out files (evaluate benchmark SOURCE… measures on public ones)",
    "release": "package the model for transformers, llama.cpp and the server (release verify tries it on your code)",
    "report": "write the report and say where it is",
}


# What comes with an extra, for steps that are asked for without it.
_EXTRAS = {
    "train": ("torch", "safetensors", "gguf", "tree_sitter", "tree_sitter_python"),
    "serve": ("httpx", "llvmlite", "numba", "prometheus_client", "starlette", "uvicorn"),
    "editor": ("pygls", "lsprotocol"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns its exit status."""
    parsed = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        module_name, function_name = parsed.handler.split(":")
        handler = getattr(importlib.import_module(f"repotune.cli.{module_name}"), function_name)
        return int(handler(parsed))
    except UserError as error:
        from repotune.core.console import Console

        Console().error(error.message, error.hint)
        return 2
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        extra = next((extra for extra, names in _EXTRAS.items() if name in names), None)
        if extra is None:
            raise
        from repotune.core.console import Console

        Console().error(f"This needs {name}, which is not installed.", f"pip install 'repotune[{extra}]'")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; the same command goes on from here\n")
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (`repotune status | head`); keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="repotune",
        description=_DESCRIPTION,
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"repotune {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_project(commands)
    _add_rooms(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _command(commands, "demo", "demo:demo", "see it all work on this Python's standard library")
    demo.add_argument("--folder", type=Path, default=Path("repotune-demo"), help="where (default: ./repotune-demo)")
    demo.add_argument("--hours", type=_positive, help="training time (default: 0.07, about four minutes)")
    demo.add_argument("--serve", action="store_true", help="leave the server and its page up at the end")


def _add_project(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = _command(commands, "init", "project:init", "write repotune.toml for your repositories")
    init.add_argument("repositories", nargs="+", metavar="REPOSITORY", help="a folder, a git repository or its URL")
    init.add_argument("--name", help="the model's name (default: the first repository's)")
    init.add_argument("--hours", type=_positive, default=1.0, help="training time on this machine (default: 1)")
    _with_config(init)

    plan = _command(commands, "plan", "project:plan", "say what will be built, how long it takes and what it needs")
    plan.add_argument("--json", action="store_true", help="for scripts, on stdout")
    _with_config(plan)

    run = _command(commands, "run", "project:run", "build what is not built; goes on where it was stopped")
    run.add_argument("--until", metavar="STEP", help="stop after this step")
    run.add_argument("--discard", metavar="STEP", help="first drop what this step had begun and not finished")
    _with_engine(run)
    _with_config(run)

    status = _command(commands, "status", "project:status", "say what is built, what is under way and what is next")
    status.add_argument("--json", action="store_true", help="for scripts, on stdout")
    _with_config(status)

    doctor = _command(commands, "doctor", "doctor:doctor", "look this machine over and say what is missing")
    doctor.add_argument("--json", action="store_true", help="for scripts, on stdout")
    _with_config(doctor)


def _add_rooms(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, text in _ROOM_STEPS.items():
        room = _command(commands, name, "project:run_room", text)
        room.set_defaults(room=name)
        if name == "corpus":
            actions = (
                "look: write a page about it; why: say what became of PATH; remove: take out a path or a repository"
            )
            room.add_argument("action", nargs="?", choices=("look", "why", "remove"), help=actions)
            room.add_argument("path", nargs="?", metavar="PATH")
            room.add_argument(
                "--search",
                nargs="+",
                type=Path,
                default=[],
                metavar="FOLDER",
                help="where remove looks for models too, such as where releases are kept",
            )
            room.set_defaults(handler="rooms:corpus")
        if name == "tokenizer":
            room.add_argument(
                "action", nargs="?", choices=("compare",), help="bytes per token, beside the project's own"
            )
            room.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="with tokenizer.json or .model")
            room.set_defaults(handler="rooms:tokenizer")
        if name == "release":
            asked = "held-out holes answered by packed weights and with drafts, beside the exact weights"
            room.add_argument("action", nargs="?", choices=("verify",), help=asked)
            room.add_argument("--items", type=int, default=25, help="verify: holes of each kind (default: 25)")
            room.set_defaults(handler="rooms:release")
        _with_engine(room)
        _with_config(room)
        if name == "evaluate":
            add_actions(room)

    serve = _command(commands, "serve", "rooms:serve", "serve completions over HTTP, with a page to try them on")
    serve.add_argument("--host", help="address to listen on (default: serve.host, which is loopback)")
    serve.add_argument("--port", type=int, help="port to listen on (default: serve.port; 0 takes a free one)")
    serve.add_argument(
        "--engine", help="auto, ours, openvino, torch, or the address of a server (default: serve.engine)"
    )
    serve.add_argument("--model", help="the model's name at that server (default: serve.model)")
    serve.add_argument("--release", type=Path, help="a release folder (default: this project's)")
    serve.add_argument("--index", type=Path, help="the index of the code it was trained on (default: this project's)")
    _with_config(serve)

    index = _command(
        commands, "index", "rooms:index", "bring the index up to date with your repositories, without training"
    )
    _with_engine(index)
    _with_config(index)

    speed = _command(commands, "speed", "speed:speed", "measure how fast a model answers on this machine")
    speed.add_argument("model", nargs="?", type=Path, help="a model's folder (default: this project's release)")
    speed.add_argument("--renew", action="store_true", help="let the server's next start go by what is measured now")
    speed.add_argument("--json", action="store_true", help="for scripts, on stdout")
    _with_config(speed)

    editor = _command(commands, "editor", "rooms:editor", "a language server on stdio that completes inline")
    editor.add_argument("--server", default="http://127.0.0.1:8750", help="the repotune server (default: %(default)s)")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, handler: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(handler=handler)
    return parser


def _with_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("local", "spark"), default="local", help="what computes the corpus")
    parser.add_argument(
        "--master", metavar="URL", help="the Spark master, such as spark://HOST:7077 (default: local[*])"
    )


def _with_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("repotune.toml"), help="default: ./repotune.toml")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
