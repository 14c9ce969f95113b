"""What callers send becomes Structs: every wrong field is named at once, and nothing is ignored in silence.

`body` and `query` make values of bytes and parameters, `structs` makes Structs of values, `scalars` their numbers,
texts and instants, `refusals` remembers what is wrong.
"""
