//! Sample conversion, channel mapping, mixing, ramps, limiting, metering and resampling.
