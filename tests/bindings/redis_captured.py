"""Values that the real packages wrote: connect-redis 9.0.0, express-session 1.19.0, redis 6.3.1, on Node.js 20."""

CONNECT_REDIS_KEY = "sess:abc"
CONNECT_REDIS_TTL = 86400
CONNECT_REDIS = (
    '{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},'
    '"user":{"name":"Zoë 🦊","n":1.25,"x":null}}'
)
"""What `store.set` wrote for a session with {user: {name: "Zoë 🦊", n: 1.25, x: null}} and a bare cookie."""
