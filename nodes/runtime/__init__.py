"""One node at work: a pure machine, a transport, a worker thread, and what passes between them."""
