"""Programs of nineteen languages: how each is compiled, run and judged, as data, with compilers kept warm."""
