"""Answers from an engine in this process: the prompt as the model was trained to read it, and the scheduler."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool

from repotune.infer.assistance import AssistedEngine
from repotune.infer.prompts import continuation_prompt, infilling_prompt, other_files
from repotune.serve.scheduler import Generation, Scheduler, Task
from repotune.serve.source import Ask, PromptTooLongError
from repotune.tokenizer.encoding import Codec

_AT_HAND = 20_000  # characters on either side of the cursor
# Seconds for the prompt of a first answer in a place that was not read before: with 16 tokens it is shown in a quarter
# of a second. It sees so much of the file, and at least so many tokens; the rest is read while one looks at it.
_IN_TIME, _LEAST_READ = 0.15, 256
_STEADY = 0.7
_UNTRIMMED = 2**31  # as the room for a prompt: its whole text is encoded


class Local:
    """A Source (`repotune.serve.source`) over `engine`, whose model's tokenizer is `codec`."""

    def __init__(self, engine: AssistedEngine, codec: Codec) -> None:
        self.context = engine.context
        self._codec = codec
        self._scheduler = Scheduler(engine, codec)
        self._near = engine.context

    @property
    def running(self) -> int:
        """See `Source.running`."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """See `Source.waiting`."""
        return self._scheduler.waiting

    def start(self) -> None:
        """See `Source.start`."""
        self._scheduler.start()

    async def close(self) -> None:
        """See `Source.close`."""
        self._scheduler.close()

    async def reply(self, ask: Ask) -> Generation:
        """See `Source.reply`."""
        task = await run_in_threadpool(self._task, ask)  # encoding a long file would hold up the event loop
        return self._scheduler.admit(task)

    def _task(self, ask: Ask) -> Task:
        if ask.suffix is None:
            prompt = continuation_prompt(self._codec, ask.prefix, ask.path, _UNTRIMMED)
            if len(prompt) + ask.max_tokens > self.context:
                raise PromptTooLongError(
                    f"The prompt has {len(prompt)} tokens and max_tokens is {ask.max_tokens}; "
                    f"the model's context holds {self.context} together."
                )
            return Task(prompt, ask.max_tokens, ask.sampling, ask.stop, urgent=False)
        # An editor sends whole files: what lies far from the gap is left out. At least half of the context is prompt.
        max_tokens = min(ask.max_tokens, self.context // 2)
        room = self.context - max_tokens
        prompt = infilling_prompt(self._codec, ask.prefix, ask.suffix, ask.path, room)
        prompt = [*other_files(self._codec, ask.extras, room - len(prompt)), *prompt]
        further: list[int] = []
        near = self._readable()
        if max_tokens > 1 and len(prompt) - self._scheduler.held(prompt) > near:
            further, prompt = prompt, infilling_prompt(self._codec, ask.prefix, ask.suffix, ask.path, near)
        # The prompt may leave out much of the file; what the file repeats is looked up in more of it.
        before = self._codec.encode(ask.prefix[-_AT_HAND:])
        behind = self._codec.encode(ask.suffix[:_AT_HAND])
        return Task(prompt, max_tokens, ask.sampling, ask.stop, before=before, behind=behind, further=further)

    def _readable(self) -> int:
        """How many tokens of a prompt are read in time. The same as before unless it is quite another number: with it a
        prompt's beginning moves, and what was read of that is lost."""
        now = max(_LEAST_READ, int(min(self._scheduler.rate * _IN_TIME, self.context)))
        if not _STEADY < now / self._near < 1 / _STEADY:
            self._near = now
        return self._near
