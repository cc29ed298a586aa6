"""The platform's three processes: sessions, models, gateway. They share `services.shared` and meet over gRPC only."""

import os

# grpc's C++ core writes lines of its own between the log's, in no format; what matters comes as statuses. It reads this
# when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
