"""Operations: the API and the pages that show the queues of endpoints and act on their jobs."""
