//! Numbers of things. Each kind has its own: a sink is no source.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// The index that clients see.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }
        }
    };
}

id! {
    /// A connection.
    ClientId
}
id! {
    /// A device that is played to.
    SinkId
}
id! {
    /// A device that is recorded from: a sink's monitor is one as well.
    SourceId
}
id! {
    /// A stream that plays: a "sink input".
    PlaybackId
}
id! {
    /// A stream that records: a "source output".
    RecordId
}

/// Hands out indices: each once, until all 2^32 have been used.
#[derive(Debug, Default)]
pub(crate) struct Indices(u32);

impl Indices {
    /// The next one that `taken` does not know.
    pub(crate) fn next(&mut self, taken: impl Fn(u32) -> bool) -> u32 {
        loop {
            let index = self.0;
            self.0 = self.0.wrapping_add(1);
            if index != u32::MAX && !taken(index) {
                return index;
            }
        }
    }
}
