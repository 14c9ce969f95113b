"""From the data of a case to what is done and seen: one file a subject, one function a shape of case.

A link does what the case says and shows what came of it. It computes nothing that the product should compute, and knows
no expected figure.
"""
