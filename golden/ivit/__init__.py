"""The arithmetic profile ``ivit``: the integer-only functions of I-ViT, as exact integers.

Li and Gu, "I-ViT: Integer-only Quantization for Efficient Vision Transformer Inference", ICCV 2023 (arXiv 2207.01405);
each file names the part of the paper and of the released code. The released modules carry integers in float32, which
loses bits; these functions compute what the algorithm says, on integers of 64 bits, and raise OverflowError where those
would not do. Scales are real numbers known before inference; only `x0` of the shift exponential and the dyadic
multipliers depend on them. `golden.ivit.errors` compares every function with the real one.
"""
