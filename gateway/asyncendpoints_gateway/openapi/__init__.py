"""The OpenAPI document of an endpoint, and the page that shows it."""
