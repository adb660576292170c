"""Which documents are kept: rules over their signals, as data. Built-in are those published with well-known models.

    [rules.mean_line]           # its name is the signal's, unless `signal` says otherwise
    above = 100                 # or below = …, equals = …, present = true (a text that is not empty)
    except = ["Markdown"]       # or only = […]
    source = "Codex (arXiv 2107.03374)"

A file of one's own may say `extends = "starcoder2"`: a rule that bears the name of one there changes what it states and
keeps the rest, `off = true` takes it out, and others come after.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repotune.core.errors import UserError
from repotune.corpus.languages import LANGUAGES
from repotune.corpus.rows import with_reasons
from repotune.corpus.signals.annotate import ALL
from repotune.corpus.signals.parsing import parsable

MAX_BYTES = 1_000_000
"""Larger files are dropped before they are read (Codex, The Stack)."""

BUILT_IN = ("starcoder2", "codex", "opencoder")

_KINDS = {signal.name: signal.kind for signal in ALL}
_PARSED = "parse_error_share"
_SIDES: dict[str, tuple[str, ...]] = {
    "above": ("share", "mean", "count"),
    "below": ("share", "mean", "count"),
    "equals": ("text", "yes"),
    "present": ("text",),
}
_KEYS = ("signal", *_SIDES, "only", "except", "source", "off")

Table = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A document is dropped when `signal` is above or below `threshold`, equals it, or is present (not empty).

    `only` and `without` limit the languages; an empty `only` means all. `source` names who published it.
    """

    name: str
    signal: str
    side: str
    threshold: float | bool | str
    source: str
    only: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Profile:
    """Rules, in the order in which they are asked; the first that a document breaks drops it."""

    rules: tuple[Rule, ...]

    @property
    def parsed(self) -> frozenset[str]:
        """The languages whose documents have to be parsed for these rules."""
        limits = [rule.only or parsable() - rule.without for rule in self.rules if rule.signal == _PARSED]
        return frozenset().union(*limits)

    def as_settings(self) -> dict[str, Any]:
        """The rules as JSON values: what a corpus that is built by them depends on."""
        rules = {
            rule.name: {
                "signal": rule.signal,
                rule.side: rule.threshold,
                "only": sorted(rule.only),
                "except": sorted(rule.without),
            }
            for rule in self.rules
        }
        return {"order": list(rules), **rules}


def load_profile(name: str, root: Path) -> Profile:
    """The built-in profile `name`, or that of the TOML file `name`, a path relative to `root`.

    Raises UserError for a file that cannot be read, and for a signal, language, key or threshold that means nothing.
    """
    rules = _tables(name, root)
    return Profile(tuple(_rule(key, table, name) for key, table in rules.items()))


@dataclass(frozen=True)
class Decide:
    """Marks the documents of a batch (with `language` and `signals`) that break a rule of `profile`."""

    profile: Profile

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        reasons: list[tuple[str, str, str] | None] = [None] * batch.num_rows
        for rule in self.profile.rules:
            values = pc.struct_field(batch.column("signals"), rule.signal)
            broken = pc.and_(_breaks(rule, values), _applies(rule, batch.column("language")))
            for place in pc.indices_nonzero(pc.fill_null(broken, False)).to_pylist():
                reasons[place] = reasons[place] or (rule.name, _shown(rule, values[place].as_py()), _limit(rule))
        return with_reasons(batch, reasons)


def _breaks(rule: Rule, values: pa.Array) -> pa.Array:
    if rule.side == "present":
        return pc.not_equal(values, "")
    compare: Callable[..., pa.Array] = {"below": pc.less, "above": pc.greater, "equals": pc.equal}[rule.side]
    return compare(values, rule.threshold)


def _applies(rule: Rule, languages: pa.Array) -> pa.Array:
    if rule.only:
        return pc.is_in(languages, value_set=pa.array(sorted(rule.only)))
    return pc.invert(pc.is_in(languages, value_set=pa.array(sorted(rule.without), pa.string())))


def _shown(rule: Rule, value: float | str | bool) -> str:
    """The value that broke the rule, with its signal where the rule's name does not tell it."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if rule.name == rule.signal else f"{rule.signal} {text}"


def _limit(rule: Rule) -> str:
    match rule.side:
        case "present":
            return "none"
        case "equals":
            return f"not {str(rule.threshold).lower()}"
        case side:
            return f"{'at least' if side == 'below' else 'at most'} {rule.threshold}"


def _tables(name: str, root: Path) -> dict[str, Table]:
    """The rules of a profile as TOML tables, those of what it extends first and changed as it says."""
    data = _read(name, root)
    _refuse_unknown(data, ("extends", "rules"), f"{name}: unknown key")
    base = data.get("extends")
    if base is not None and base not in BUILT_IN:
        raise UserError(f"{name} extends {base!r}, which is not built in.", f"built in are: {', '.join(BUILT_IN)}")
    tables = _tables(base, root) if base else {}
    given = data.get("rules", {})
    if not isinstance(given, Mapping) or not all(isinstance(table, Mapping) for table in given.values()):
        raise UserError(f"{name}: rules are tables.", "[rules.mean_line] and then above = 100")
    for key, table in given.items():
        tables[key] = _changed(tables.get(key, {}), table)
    return {key: table for key, table in tables.items() if not table.pop("off", False)}


def _changed(base: Table, table: Table) -> Table:
    """`base` as `table` changes it. A side or a limit of languages takes the place of another."""
    kept = dict(base)
    for group in (tuple(_SIDES), ("only", "except")):
        if any(key in table for key in group):
            kept = {key: value for key, value in kept.items() if key not in group}
    return kept | dict(table)


def _read(name: str, root: Path) -> Table:
    if name in BUILT_IN:
        return tomllib.loads((files("repotune.corpus") / "profiles" / f"{name}.toml").read_text(encoding="utf-8"))
    try:
        return tomllib.loads((root / Path(name).expanduser()).read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(Path(name).name, BUILT_IN, n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"a .toml file beside repotune.toml, or one of: {', '.join(BUILT_IN)}"
        )
        raise UserError(f"There is no profile {name}.", hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The profile {name} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The profile {name} is not valid TOML: {error}.") from error


def _rule(key: str, table: Table, origin: str) -> Rule:
    """The rule of one table, checked."""
    where = f"{origin}: rule {key}"
    _refuse_unknown(table, _KEYS, f"{where}: unknown key")
    signal = table.get("signal", key)
    _refuse_unknown([signal], _KINDS, f"{where}: unknown signal")
    sides = [side for side in _SIDES if side in table]
    if len(sides) != 1:
        raise UserError(f"{where} needs one of {', '.join(_SIDES)}, and only one.")
    if not isinstance(source := table.get("source", ""), str):
        raise UserError(f"{where}: source is a text.")
    limits = {name: table.get(name, []) for name in ("only", "except")}
    for name, languages in limits.items():
        if not isinstance(languages, list):
            raise UserError(f"{where}: {name} is a list of languages.", f'{name} = ["Python"]')
        _refuse_unknown(languages, LANGUAGES, f"{where}: unknown language")
    threshold = _threshold(table[sides[0]], sides[0], signal, where)
    return Rule(key, signal, sides[0], threshold, source, frozenset(limits["only"]), frozenset(limits["except"]))


def _threshold(value: Any, side: str, signal: str, where: str) -> float | bool | str:
    kind = _KINDS[signal]
    if kind not in _SIDES[side]:
        fitting = " or ".join(name for name, kinds in _SIDES.items() if kind in kinds)
        raise UserError(f"{where}: {signal} has no {side}.", f"use {fitting}")
    wanted: type | tuple[type, ...] = {"text": str, "yes": bool}.get(kind, (int, float))
    fits = value is True if side == "present" else isinstance(value, wanted)
    if not fits or (side in ("above", "below") and isinstance(value, bool)):
        raise UserError(f"{where}: {side} = {value!r} is no threshold for {signal}.")
    threshold: float | bool | str = value
    return threshold


def _refuse_unknown(given: Iterable[Any], known: Iterable[str], what: str) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            raise UserError(f"{what} {name}.", f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}")
