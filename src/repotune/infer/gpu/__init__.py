"""Our engine on a GPU: torch, compiled and captured. It has been run on CPUs alone."""
