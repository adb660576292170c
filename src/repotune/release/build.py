"""The release step: the model as transformers, llama.cpp and the server load it, verified, with what it is on paper.

`release.json`: `schema`, `name`, `version`, `created_from` ({input: hash of its contents}), `checkpoint`, `prompt`,
`parameters`, `context`, `licences` and `languages` (as in the corpus' summary.json), `verdict`, `scores`, `files`
({name: bytes}) and `quality`: what packed weights and the q8_0 file cost against the exact weights, on held-out text;
`model_hash`: what an index knows
the model by; `weights`: what the server reads on a CPU unless told otherwise, int4 only where nothing was lost by it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from repotune import __version__
from repotune.core.artefact import require_artefact, write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.hardware import available_cores
from repotune.core.settings import ReleaseSettings
from repotune.infer.cpu.engine import cpu_engine
from repotune.infer.cpu.packed import Bits, open_packed, packable, packed_name, write_packed
from repotune.infer.cpu.packing import pack_network
from repotune.infer.index.gate import model_hash
from repotune.model.network import Network
from repotune.model.weights import CONFIG_NAME, WEIGHTS_NAME, load_model
from repotune.release.card import render_card
from repotune.release.gguf import gguf_path, write_gguf
from repotune.release.loss import Loss, held_out_passages, measure_loss
from repotune.release.verify import check_folder, check_gguf
from repotune.tokenizer.encoding import Codec, load_codec, tokenizer_files
from repotune.train.state import best_checkpoint

FACTS_NAME = "release.json"
_BITS: dict[str, Bits] = {"int8": 8, "int4": 4}


def build_release(work: Work, settings: ReleaseSettings, name: str) -> None:
    """Writes the Hugging Face folder, packed weights, GGUF files, release.json and README.md from inputs run, results,
    tokens and corpus. Raises UserError where an input is missing or damaged, or where the model cannot be written as
    asked."""
    checkpoint = best_checkpoint(work.inputs["run"])
    summary = _read_json(work.inputs["corpus"] / "summary.json")
    results = _read_json(work.inputs["results"] / "results.json")
    files = (CONFIG_NAME, WEIGHTS_NAME, *tokenizer_files(checkpoint))
    for file in files:
        shutil.copyfile(checkpoint / file, work.folder / file)
    check_folder(checkpoint, work.folder, files)
    network = load_model(work.folder)
    quality = _write_and_measure(work, settings, network, name)
    facts = {
        "schema": 1,
        "name": name,
        "version": __version__,
        "created_from": {step: require_artefact(folder).contents for step, folder in sorted(work.inputs.items())},
        "checkpoint": checkpoint.name,
        "prompt": _prompt(load_codec(work.folder)),
        "parameters": network.config.parameters(),
        "context": network.config.context,
        "licences": summary["licences"],
        "languages": summary["languages"],
        "verdict": results["verdict"],
        "scores": {measure: results[measure] for measure in ("likelihood", "infilling")},
        "files": {path.name: path.stat().st_size for path in _weights(work.folder)},
        "quality": {kind: loss.as_json() for kind, loss in quality.items()},
        "model_hash": model_hash(work.folder),
        "weights": "int4" if "int4" in quality and quality["int4"].negligible else "int8",
    }
    write_atomically(work.folder / FACTS_NAME, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    write_atomically(work.folder / "README.md", render_card(facts))


def _write_and_measure(work: Work, settings: ReleaseSettings, network: Network, name: str) -> dict[str, Loss]:
    """Writes and re-reads packed weights and GGUF files; measures what rounding cost, where text is held out."""
    codec = load_codec(work.folder)
    passages = held_out_passages(work.inputs["tokens"], codec, network.config.context)
    losses: dict[str, Loss] = {}
    kinds = settings.packed if packable(network.config) else ()
    with work.console.progress("writing and verifying", len(settings.gguf) + len(kinds), "formats") as progress:
        for bits in (_BITS[kind] for kind in kinds):
            path = work.folder / packed_name(bits)
            write_packed(pack_network(network, bits), path)
            if passages:
                engine = cpu_engine(open_packed(path), available_cores())
                losses[f"int{bits}"] = measure_loss(network, engine, codec, passages)
            progress.advance(note=path.name)
        for kind in settings.gguf:
            path = gguf_path(work.folder, kind)
            write_gguf(work.folder, path, kind, name)
            restored = check_gguf(path, kind, work.folder)
            if kind != "f32" and passages:
                losses[kind] = measure_loss(network, restored, codec, passages)
            progress.advance(note=path.name)
    for name, loss in losses.items():
        work.console.say(
            f"  {name}: {loss.bits_per_byte_lost:+.4f} bits per byte, {loss.lines_lost:+d} of {loss.lines_right} right "
            f"lines lost, {100 * loss.agreement:.1f} % of the likeliest tokens the same ({loss.tokens:,} tokens)"
        )
    return losses


def _weights(folder: Path) -> list[Path]:
    return sorted(path for kind in ("model*", "*.packed") for path in folder.glob(kind))


def _prompt(codec: Codec) -> dict[str, Any]:
    """How a prompt is put together, for whoever writes one without repotune."""
    return {
        "order": "suffix first",
        "infilling": "{file_sep}{path}\n{fim_prefix}{fim_suffix}{suffix}{fim_middle}{prefix}",
        "continuation": "{file_sep}{path}\n{prefix}",
        "special_tokens": dict(codec.names),
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune run builds what is missing") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}.", f"remove {path.parent} and repeat: repotune run") from error
    return data
