"""Where the corpus steps run: functions over Arrow batches, and SQL over their results."""
