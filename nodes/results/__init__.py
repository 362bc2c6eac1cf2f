"""What a run leaves behind: the run folder, the summary, the plots, and going on from them."""
