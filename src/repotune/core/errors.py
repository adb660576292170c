"""The exceptions a user can meet.

RepotuneError
└── UserError        something the user can change; shown as one sentence and a hint, exit status 2
"""


class RepotuneError(Exception):
    """Base of everything repotune raises on purpose."""


class UserError(RepotuneError):
    """A fault the user can mend.

    `message` is one sentence that says what is wrong and where; `hint` says what to do next, best as a command.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
