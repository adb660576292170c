"""From weights to tokens: the engine, the prompts and the decoding."""
