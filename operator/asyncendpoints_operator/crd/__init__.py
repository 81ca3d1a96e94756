"""The CustomResourceDefinition, generated from the pydantic models. Pure."""
