//! Counters by kind: a table indexed by an enum, as long as the enum.

/// Declares an enum of fault kinds and the table that counts them, so that the two cannot differ in length.
macro_rules! fault_counters {
    (
        $(#[$kind_doc:meta])* kind $Kind:ident;
        $(#[$table_doc:meta])* table $Table:ident;
        $($(#[$doc:meta])* $Variant:ident = $text:literal,)+
    ) => {
        $(#[$kind_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $Kind { $($(#[$doc])* $Variant,)+ }

        impl $Kind {
            /// All kinds, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$Variant,)+];

            /// A short name for logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => $text,)+ }
            }
        }

        $(#[$table_doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $Table {
            counts: [u64; $Kind::ALL.len()],
        }

        impl Default for $Table {
            fn default() -> Self {
                Self { counts: [0; $Kind::ALL.len()] }
            }
        }

        /// The kinds that came, by their names, with their counts: what a log has to say.
        impl std::fmt::Debug for $Table {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_map().entries(self.iter().filter(|(_, n)| *n > 0).map(|(kind, n)| (kind.name(), n))).finish()
            }
        }

        impl $Table {
            /// How often this kind came.
            #[must_use]
            pub fn get(&self, kind: $Kind) -> u64 {
                self.iter().find(|(counted, _)| *counted == kind).map_or(0, |(_, count)| count)
            }

            /// All kinds with their counts.
            pub fn iter(&self) -> impl Iterator<Item = ($Kind, u64)> + '_ {
                $Kind::ALL.iter().copied().zip(self.counts.iter().copied())
            }

            /// Everything that was dropped or ignored, of any kind.
            #[must_use]
            pub fn total(&self) -> u64 {
                self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
            }

            pub(crate) fn count(&mut self, kind: $Kind) {
                for (counted, count) in $Kind::ALL.iter().zip(&mut self.counts) {
                    if *counted == kind {
                        *count = count.saturating_add(1);
                    }
                }
            }
        }
    };
}

pub(crate) use fault_counters;
