"""From a run to a release: the Hugging Face folder, GGUF files, their verification and the model card."""
