"""Where the processes of a launch's nodes run: on this machine, or where a cluster engine places them."""
