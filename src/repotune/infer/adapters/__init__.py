"""Engines that others wrote, behind our doors: OpenVINO, llama.cpp and servers that speak OpenAI's dialect."""
