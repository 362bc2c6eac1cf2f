"""What a run folder holds as a page that needs nothing else: ``report.html``, and several runs over each other."""
