"""Models side by side on the same items: paired differences, a verdict in a sentence, and a gate for a build server."""
