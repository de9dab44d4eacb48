//! Registry, sessions, devices, streams, connections and their statistics.
