"""The proof that a program's tests ran to their end: a secret of 128 bits that it prints after the last of them.

An exit status of 0 proves nothing: a candidate that ends the process before the tests has it too. The secret is drawn
for each run and put after the tests, so no answer of a model can hold it. How strong that is:

- Against a program that ends early, swallows errors or prints what tests print: certain, in every language.
- Against one that looks for it: it is in the same process. Where there is a compiler the source is removed before the
  run, and the secret has to be found in the program's own code; where there is none, in its own source. Both can be
  done by a program written against this very file. Python programs that must withstand that run in PythonSandbox,
  whose tests are in another process.
"""

from __future__ import annotations

import secrets

from repotune.evaluate.languages.language import Proof


def draw_secret() -> str:
    """A text that nobody can know in advance."""
    return secrets.token_hex(16)


def add_proof(text: str, proof: Proof, secret: str) -> str:
    """`text` with its proof after the tests."""
    if proof.replace:
        before, found, after = text.rpartition(proof.replace)
        text = f"{before}{proof.by}{after}" if found else text
    return text + proof.append.replace("{secret}", secret)


def is_proven(output: str, secret: str) -> bool:
    """Whether the secret stands on a line of its own."""
    return secret in output.splitlines()
