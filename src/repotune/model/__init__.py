"""The network, its configurations, and weights in and out in the Hugging Face layout."""
