"""The OpenAPI document of the operations API."""
