"""Keys, tokens and passwords: found by what their issuers publish, by where they stand, and by their entropy."""
