"""Rows of the known benchmarks as problems, told by the fields that they have.

HumanEval and HumanEval+ (as EvalPlus puts it on the hub), HumanEval infilling, MBPP and MBPP+ (also sanitised),
MultiPL-E and HumanEval-X. Answers end where each benchmark's own harness ends them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from repotune.core.errors import UserError
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.reading import Row
from repotune.evaluate.languages.language import load_languages

# human-eval's paper, section 2.1, and decorators, which begin another definition as well.
_FUNCTION_STOP = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(", "\n@")
# As bigcode-evaluation-harness has it.
_MBPP_STOP = ("\nclass ", "\nassert ", '\n"""', "\nprint(", "\nif ", "\ndef ")
_MOST_EXAMPLES = 1

_X_LANGUAGES = {"CPP": "cpp", "Go": "go", "Java": "java", "JavaScript": "js", "Python": "py"}
# Where an answer ends, and what then closes the function, and in Java its class: the closing is no part of it.
_X_ENDS = {"cpp": ("\n}", "\n}"), "go": ("\n}", "\n}"), "java": ("\n    }\n", "\n    }\n}"), "js": ("\n}", "\n}")}


def problems_of(rows: Sequence[tuple[str, Row]]) -> list[Problem]:
    """A problem for each row, its id unique. Raises UserError for rows of no known benchmark, or of a damaged one."""
    problems = [_problem(name, row) for name, row in rows]
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise UserError(f"The benchmark has {problem.id} twice.", "name one of its files")
        seen.add(problem.id)
    return problems


def _problem(name: str, row: Row) -> Problem:
    for fields, read in _FORMATS:
        if fields <= row.keys():
            try:
                return read(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UserError(f"A row of {name} is damaged: {type(error).__name__} {error}.") from error
    raise UserError(
        f"{name} is no benchmark that is known; its fields are {', '.join(sorted(row))}.",
        "known: HumanEval, HumanEval+, its infilling, MBPP, MBPP+, MultiPL-E, HumanEval-X",
    )


def _infilling(row: Row) -> Problem:
    """human-eval-infilling; a single line's answer is cut to one, as its kind says."""
    kind, _, rest = row["task_id"].partition("/")
    return Problem(
        id=row["task_id"],
        language="py",
        prompt=row["prompt"],
        suffix=row["suffix"],
        tests=f"{row['test']}\ncheck({row['entry_point']})\n",
        reference=row["canonical_solution"],
        entry_point=row["entry_point"],
        lines=1 if kind == "SingleLineInfilling" else None,
        kind=kind.removesuffix("Infilling"),
        origin=rest.rpartition("/")[0],
    )


def _human_eval(row: Row) -> Problem:
    return Problem(
        id=row["task_id"],
        language="py",
        prompt=row["prompt"],
        suffix=None,
        tests=f"{row['test']}\ncheck({row['entry_point']})\n",
        reference=row["canonical_solution"],
        stop=_FUNCTION_STOP,
        entry_point=row["entry_point"],
    )


def _mbpp(row: Row) -> Problem:
    """The text and one of the tests as a docstring, so that the function's name is known (InCoder's prompt)."""
    tests = _listed(row["test_list"])
    shown = "\n".join(tests[:_MOST_EXAMPLES])
    before = [row.get("test_setup_code") or "", *_listed(row.get("test_imports") or [])]
    body = row.get("test") or "\n".join([*before, *tests, *_listed(row.get("challenge_test_list") or [])])
    return Problem(
        id=f"MBPP/{row['task_id']}",
        language="py",
        prompt=f'"""\n{row.get("prompt") or row["text"]}\n{shown}\n"""\n',
        suffix=None,
        tests=body,
        reference=row["code"].replace("\r\n", "\n"),
        stop=_MBPP_STOP,
    )


def _listed(value: object) -> list[str]:
    """A list of strings, which some files hold as JSON text."""
    listed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise TypeError("tests are a list of strings")
    return listed


def _multiple(row: Row) -> Problem:
    """Its samples are a model's answers, and some are wrong."""
    return Problem(
        id=f"{row['language']}/{row['name']}",
        language=load_languages()[row["language"]].key,
        prompt=row["prompt"],
        suffix=None,
        tests=row["tests"],
        reference=row.get("sample_solution"),
        stop=tuple(_listed(row["stop_tokens"])),
        reference_is_checked=False,
    )


def _human_eval_x(row: Row) -> Problem:
    language = _X_LANGUAGES[row["task_id"].partition("/")[0]]
    setup = f"{row['test_setup']}\n" if row.get("test_setup") else ""
    stop, closing = _X_ENDS.get(language, ("", ""))
    solution: str = row["canonical_solution"]
    return Problem(
        id=f"X/{row['task_id']}",
        language=language,
        prompt=setup + row["prompt"],
        suffix=None,
        tests=f"{closing}\n{row['test']}",
        reference=solution.partition(stop)[0] if stop else solution,
        stop=(stop,) if stop else _FUNCTION_STOP,
    )


# The fields that tell a format, the most particular first.
_FORMATS: tuple[tuple[frozenset[str], Callable[[Row], Problem]], ...] = (
    (frozenset({"task_id", "prompt", "suffix", "canonical_solution", "entry_point", "test"}), _infilling),
    (frozenset({"task_id", "prompt", "canonical_solution", "declaration", "test"}), _human_eval_x),
    (frozenset({"task_id", "prompt", "canonical_solution", "entry_point", "test"}), _human_eval),
    (frozenset({"task_id", "code", "test_list"}), _mbpp),
    (frozenset({"name", "language", "prompt", "tests", "stop_tokens"}), _multiple),
)
