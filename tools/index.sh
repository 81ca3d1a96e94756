# Sourced: have uv use the index that pip is configured with; uv does not read pip's settings.
: "${UV_DEFAULT_INDEX:=${PIP_INDEX_URL:-$("$BIN/python" -m pip config get global.index-url 2>/dev/null || true)}}"
[ -z "$UV_DEFAULT_INDEX" ] || export UV_DEFAULT_INDEX
