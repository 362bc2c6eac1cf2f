"""Tables as sites have them: columns of numbers, categories and dates, with gaps."""
