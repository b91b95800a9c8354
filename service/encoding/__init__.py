"""Arrays to an answer: `predictions` as a V1 client reads them, `tensors` as a V2 client does."""
