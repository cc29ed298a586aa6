"""Provider adapters: how each dialect says a request and reads an answer, and the exchange over HTTP."""
