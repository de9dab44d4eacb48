//! Bounded lock-free queues and snapshots between control and real-time side.
