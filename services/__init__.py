"""The platform's three processes: sessions, models, gateway. They share `services.shared` and meet over gRPC only."""
