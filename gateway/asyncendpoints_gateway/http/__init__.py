"""HTTP as the gateway reads and writes it: headers, bodies, tokens, CORS, queries, problems."""
