"""Our names and shapes against Hugging Face's: a file a family, and what turns one into the other."""
