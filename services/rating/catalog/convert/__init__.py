"""The catalog between the wire and the domain. Reading from the wire may refuse; writing to the wire never fails."""
