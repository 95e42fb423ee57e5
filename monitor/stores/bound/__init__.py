"""An application's own tables, keys and endpoints, as its binding names them."""
