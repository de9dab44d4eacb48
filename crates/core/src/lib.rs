//! Units, formats, channel layouts and the clock trait that every other crate of Soundpost speaks in.
