"""The views: each takes an http.messages.Request and returns a Response."""
