"""From corpus/ to tokenizer/ and tokens/: the vocabulary, encoding and packing. Never imports torch."""
