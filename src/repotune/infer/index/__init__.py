"""An index of one's own code: drafts, probabilities to mix with a model's, and where a text repeats what is indexed."""
