"""The endpoints' queues, and the Redis servers they are polled on."""
