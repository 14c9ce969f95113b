"""What the services share of the wire: the values of farebox.common.v1, the subjects, the log of usage events.

Services may not import one another and the chassis knows nothing of billing; what two services read or write in the
same way is here, once. Nothing here decides, and nothing here touches a database.
"""
