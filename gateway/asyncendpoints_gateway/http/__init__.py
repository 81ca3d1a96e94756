"""HTTP without a server: messages, headers, bodies, tokens, CORS, queries, problems, router."""
