"""What every role uses: backoff, time, the event loop, group commit, the admin server."""
