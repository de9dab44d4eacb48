//! How much of anything a client may have. What is beyond is answered with an error or ends the connection.

/// Longest control packet in bytes. PulseAudio's own limit is 16 MiB; real ones have a few kilobytes, and at most one
/// property list with an icon in it.
pub const MAX_PACKET: usize = 1024 * 1024;
/// Longest control packet before the client has shown who it is.
pub const MAX_PACKET_BEFORE_AUTH: usize = 4096;
/// Longest block of sound in bytes: PulseAudio's own limit. It is taken as it comes, never gathered.
pub const MAX_BLOCK: u32 = 16 * 1024 * 1024;
/// Longest buffer of a stream in bytes: PulseAudio's own limit.
pub const MAX_QUEUE: u32 = 4 * 1024 * 1024;
/// Most pieces that a stream's buffer may be in: a client that seeks to and fro makes one with each write.
pub const MAX_PIECES: usize = 1024;
/// Bytes of sound that all streams and uploads of one client may hold together.
pub const MAX_CLIENT_SOUND: usize = 64 * 1024 * 1024;
/// Most streams of one client, of each kind.
pub const MAX_STREAMS: usize = 1024;
/// Most clients of a server.
pub const MAX_CLIENTS: usize = 1024;
/// Connections that the kernel does not vouch for and that have not logged in yet: strangers do not take the places of others.
pub const MAX_STRANGERS: usize = 64;
/// Most entries of a property list.
pub const MAX_PROPS: usize = 256;
/// Bytes of a property list, keys and values together.
pub const MAX_PROPS_BYTES: usize = 128 * 1024;
/// Bytes of property lists that one client may have in all.
pub const MAX_CLIENT_PROPS: usize = 1024 * 1024;
/// Longest sample in bytes: PulseAudio's own limit.
pub const MAX_SAMPLE: u32 = 16 * 1024 * 1024;
/// Bytes of all samples together.
pub const MAX_SAMPLES_BYTES: usize = 64 * 1024 * 1024;
/// Most samples.
pub const MAX_SAMPLES: usize = 1024;
/// Most samples that play at once.
pub const MAX_PLAYING_SAMPLES: usize = 256;
/// Longest name of a device or a sample in bytes: PulseAudio's own limit.
pub const MAX_NAME: usize = 128;
/// Unsent bytes at which nothing further is read from a client.
pub const OUTPUT_PAUSE: usize = 256 * 1024;
/// Unsent bytes at which recorded sound waits in its stream's own buffer.
pub const OUTPUT_RECORD: usize = 64 * 1024;
/// Unsent bytes at which a client is given up.
pub const OUTPUT_MAX: usize = 16 * 1024 * 1024;
/// Longest reply in bytes: a client takes none above this.
pub const MAX_REPLY: usize = 8 * 1024 * 1024;
/// Most applications whose volume and device are remembered.
pub const MAX_REMEMBERED: usize = 4096;
/// Longest name under which something is remembered in bytes; what has a longer one is not remembered.
pub const MAX_REMEMBERED_NAME: usize = 512;
