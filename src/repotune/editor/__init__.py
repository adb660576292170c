"""The language server: completions from repotune's server in any editor that speaks LSP 3.18."""
