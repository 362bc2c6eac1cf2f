"""What a run is asked to do: data only, and what is built from it."""
