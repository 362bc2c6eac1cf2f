"""The web view: what a browser is shown of a run, folded from its events, and streamed to whoever looks."""
