"""The dialect of Nozle's SDKs, which is Lago's with an Engine beside it; Lago's own clients speak it too.

Its conventions: null means absent, amounts in charge properties are decimal strings, ids are called `lago_id` and
`nozle_id`, lists come with `meta`, success is 200.
"""
