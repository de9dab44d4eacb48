//! Wire-side audio formats and their encoders.
