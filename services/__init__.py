"""The platform's three processes: sessions, models, gateway. They share `services.shared` and meet over gRPC only."""

import os

# grpc's C++ core would write unformatted lines into the log; its errors also arrive as statuses. It reads this variable
# when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
