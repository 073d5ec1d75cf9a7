"""Graphs of ONNX: what a network computes is recognised by structure, whoever exported it and however it is called."""
