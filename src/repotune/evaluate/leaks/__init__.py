"""What must not come out of a model: training text, secrets, personal data, foreign licences, insecure patterns."""
