"""The catalog between the wire and the domain: from the wire may be refused, to the wire never fails."""
