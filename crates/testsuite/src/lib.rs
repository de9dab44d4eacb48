//! One integration-test binary over the public interfaces.
