//! Virtual clock, probe endpoints and faulty endpoints.
