"""Prompt, answer and tests as one program."""

from __future__ import annotations

import pytest

from repotune.evaluate.languages.joining import join_completion, join_whole
from repotune.evaluate.languages.language import load_languages

LANGUAGES = load_languages()


def test_a_completion_ends_at_the_first_stop_token() -> None:
    program = join_completion("f() {\n", "  a;\n}\nint main() {}\n}", "}\nint main() { t(); }", ["\n}", "\nint"])
    assert program == "f() {\n  a;\n}\nint main() { t(); }"


def test_a_completion_without_a_stop_token_is_whole() -> None:
    assert join_completion("def f\n", "  1\nend", "test", ["\ndef", "\n#"]) == "def f\n  1\nend\ntest"


def test_stop_tokens_are_not_looked_for_in_the_prompt() -> None:
    assert join_completion("# a\n# b\ndef f\n", "  1\nend", "t", ["\n#"]).startswith("# a\n# b\ndef f\n  1")


CPP_PROMPT = "#include<assert.h>\n#include<bits/stdc++.h>\n// Adds.\n// >>> add(1, 2)\nlong add(long a, long b) {\n"
CPP_TESTS = "}\nint main() {\n    assert(add(1, 2) == 3);\n}\n"


def test_of_a_whole_answer_only_functions_are_kept() -> None:
    answer = """Here it is:
```cpp
#include<bits/stdc++.h>
long one() { return 1; }
// add(1, 2) is 3
long add(long a, long b)
{
    long sum = a;

    return sum + rest(b);
}

long rest(long b) {
    return b;
}

int main() {
    std::cout << add(1, 2);
}
```
It adds."""
    assert (
        join_whole(LANGUAGES["cpp"], CPP_PROMPT, answer, CPP_TESTS)
        == """#include<assert.h>
#include<bits/stdc++.h>
long one() { return 1; }
// add(1, 2) is 3
long add(long a, long b)
{
    long sum = a;

    return sum + rest(b);
}
long rest(long b) {
    return b;

}
int main() {
    assert(add(1, 2) == 3);
}
"""
    )


def test_an_answer_without_the_function_follows_the_prompt() -> None:
    program = join_whole(LANGUAGES["cpp"], CPP_PROMPT, "    return a + b;", CPP_TESTS)
    assert program == f"{CPP_PROMPT}    return a + b;\n{CPP_TESTS}"


def test_methods_beside_the_one_asked_for_stay_and_the_class_is_closed_by_the_tests() -> None:
    prompt = "import java.util.*;\nclass Problem {\n    // Adds.\n    public static long add(long a, long b) {\n"
    answer = (
        "class Problem {\n    public static long add(long a, long b) {\n        return a + same(b);\n    }\n\n"
        "    private static long same(long b) {\n        return b;\n    }\n\n"
        "    public static void main(String[] args) {\n        add(1, 2);\n    }\n}\n"
    )
    tests = "    }\n    public static void main(String[] args) {\n    }\n\n}\n"
    program = join_whole(LANGUAGES["java"], prompt, answer, tests)
    assert program.startswith("import java.util.*;\nclass Problem {\n")
    assert "same(long b)" in program
    assert program.count("void main") == 1
    assert program.count("{") == program.count("}")


@pytest.mark.parametrize("clause", ["package add_test\n\n", ""])
def test_go_gets_the_imports_of_the_tests_once(clause: str) -> None:
    prompt = 'package add_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n// Adds.\nfunc add(a int, b int) int {\n'
    answer = f'{clause}import (\n\t"testing"\n\t"sort"\n)\n\nfunc add(a int, b int) int {{\n\treturn a + b\n}}\n\n'
    answer += "func TestAdd(t *testing.T) {\n}\n"
    program = join_whole(LANGUAGES["go"], prompt, answer, "func TestAll(t *testing.T) {\n}\n")
    assert program.startswith('package add_test\nimport "fmt"\n')
    assert program.count('"testing"') == program.count('"fmt"') == program.count("package ") == 1
    assert "TestAdd" not in program


def test_the_end_of_a_function_needs_no_closing_line() -> None:
    prompt = "#lang racket\n\n;; Adds.\n;; >>> (add 1 2)\n(define (add a b)\n"
    answer = "```racket\n#lang racket\n\n(define (add a b)\n  (+ a b))\n\n(displayln (add 1 2))\n```"
    program = join_whole(LANGUAGES["rkt"], prompt, answer, "(check-equal? (add 1 2) 3)")
    assert program == "#lang racket\n\n(define (add a b)\n  (+ a b))\n\n(check-equal? (add 1 2) 3)"


def test_a_remark_that_names_the_function_is_not_its_beginning() -> None:
    prompt = "import std.math;\n/*\nAdds.\n>>> add(1L, 2L)\n3L\n*/\nlong add(long a, long b) \n"
    answer = (
        "```d\n/* Here\nadd(a, b) is the sum\n*/\nlong add(long a, long b) {\n    return a + b;\n}\n\nint x = 1;\n```"
    )
    program = join_whole(LANGUAGES["d"], prompt, answer, "unittest\n{\n}\nvoid main(){}")
    assert program.startswith(
        "import std.math;\n/* Here\nadd(a, b) is the sum\n*/\nlong add(long a, long b) {\n    return"
    )
    assert "int x" not in program
