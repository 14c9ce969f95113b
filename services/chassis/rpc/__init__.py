"""gRPC: servers and channels, and the one place where errors leave a service and come back in.

calls        what a method knows of its call: context, organization, time left, the line that is written of it
answers      decorators of servicer methods, one thread a call; answers_async the same on an event loop
errors       errors to statuses with google.rpc details, and back
server       the server with a thread a call; server_async the one on an event loop
channel      how services and front ends reach a service
"""
