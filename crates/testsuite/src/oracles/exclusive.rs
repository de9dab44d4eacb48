//! Exclusive mode (D5): shared memory that another process may have written anything to.
//!
//! The first byte chooses: what a client reads as a record, or what a server reads as a client's state and position.

use soundpost_core::FrameCount;
use soundpost_endpoint::DataFlow;
use soundpost_endpoint::exclusive::record::PARAMETERS;
use soundpost_endpoint::exclusive::{ClientState, ClientWatch, ClientWords, ExclusiveRecord};

use super::Script;

/// A record that is read fits its memory and is written alike; a watched client never makes the server leave the ring.
pub fn exclusive(data: &[u8]) {
    let mut script = Script(data);
    match script.u8() {
        0 => record(&mut script),
        1 => watch(&mut script, DataFlow::Render),
        _ => watch(&mut script, DataFlow::Capture),
    }
}

fn record(script: &mut Script<'_>) {
    let words: [u64; PARAMETERS] = std::array::from_fn(|_| u64::from_le_bytes(script.array()));
    let size = usize::try_from(words[2]).unwrap_or(usize::MAX);
    let Ok(record) = ExclusiveRecord::from_words(&words, size) else { return };
    assert_eq!(record.words(), words, "written differently than read");
    assert_eq!(record.size(), size);
    assert!(record.size() >= 4_096 + record.format.bytes_of(record.ring), "the ring ends behind the memory");
    assert!(record.size() < 16 * 1024 * 1024 && !record.ring.is_zero() && record.stall > 0);
}

fn watch(script: &mut Script<'_>, flow: DataFlow) {
    let ring = FrameCount::new(u32::from(script.u16()).max(1));
    let stall = u32::from(script.u8());
    let mut watch = ClientWatch::new(flow, ring, stall);
    let (mut client, mut still) = (0, 0_u32);
    while !script.is_empty() {
        let before = watch.position();
        // Mostly near what is possible, so that the fuzzer gets past the first check; sometimes anything.
        let position = match script.u8() {
            0 => u64::from_le_bytes(script.array()),
            _ => before.wrapping_add(u64::from(script.u16())).wrapping_sub(u64::from(script.u16())),
        };
        let words = ClientWords { state: u64::from(script.u8() & 7), position };
        let Ok(look) = watch.look(words) else {
            assert_eq!(watch.position(), before, "a refused look moved the server");
            continue;
        };
        assert!(look.frames <= ring, "more frames than the ring holds");
        assert!(ClientState::from_word(words.state).is_some() && position >= client, "nonsense was believed");
        still = if position == client { still.saturating_add(1) } else { 0 };
        client = position;
        let wanted = FrameCount::new(u32::from(script.u16()));
        let after = watch.moved(wanted);
        assert_eq!(after - before, u64::from(wanted.min(look.frames).get()));
        match flow {
            DataFlow::Render => assert!(after <= client && client - after <= u64::from(ring.get())),
            DataFlow::Capture => assert!(client <= after && after - client <= u64::from(ring.get())),
        }
        if let Some(periods) = watch.end_pass(script.u8() & 1 == 1) {
            assert!(periods > stall && still >= stall, "taken back from a client that moved");
        }
    }
}
