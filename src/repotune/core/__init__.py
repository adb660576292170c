"""What every room stands on: configuration, artefacts, flow, estimates, hardware, errors, console.

Imports no room and no torch.
"""
