"""What callers send becomes Structs: all wrong fields are named at once, and nothing is ignored in silence.

`body` and `query` turn bytes and parameters into values, `structs` turns values into Structs, `scalars` reads numbers,
texts and instants, and `refusals` remembers what is wrong.
"""
