//! What real clients sent, against what a real PulseAudio answered.

use std::path::Path;
use std::time::Duration;

use soundpost_pulse::{Change, ClientId, Event, PlaybackId};

use crate::rig::Rig;

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name)).expect("a capture")
}

/// Replies by sequence number, in order: whether it is an error, and the tags of its values. Of a property list only that
/// it is there; of a list of things, each thing's tags.
fn replies(bytes: &[u8]) -> Vec<(u32, u32, String)> {
    let mut rest = bytes;
    let mut replies = Vec::new();
    while rest.len() >= 20 {
        let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().expect("four"));
        let (length, channel) = (usize::try_from(word(0)).expect("a length"), word(4));
        if rest.len() < 20 + length {
            break;
        }
        let body = &rest[20..20 + length];
        if channel == u32::MAX {
            let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four"));
            if number(6) != u32::MAX {
                replies.push((number(6), number(1), skeleton(&body[10..])));
            }
        }
        rest = &rest[20 + length..];
    }
    replies.sort();
    replies
}

fn skeleton(mut rest: &[u8]) -> String {
    let mut tags = String::new();
    while let Some(&tag) = rest.first() {
        rest = &rest[1..];
        let string = |rest: &[u8]| rest.iter().position(|&byte| byte == 0).expect("an end") + 1;
        let length = match tag {
            b't' => string(rest),
            b'N' | b'0' | b'1' => 0,
            b'L' | b'V' => 4,
            b'B' => 1,
            b'R' | b'r' | b'T' | b'U' => 8,
            b'a' => 6,
            b'm' => 1 + usize::from(rest[0]),
            b'v' => 1 + 4 * usize::from(rest[0]),
            b'f' => 2,
            b'P' => {
                let mut at = 0;
                while rest[at] == b't' {
                    at += 1 + string(&rest[at + 1..]) + 5;
                    let value = u32::from_be_bytes(rest[at + 1..at + 5].try_into().expect("four"));
                    at += 5 + usize::try_from(value).expect("a length");
                }
                at + 1
            }
            other => panic!("tag {other:#x}"),
        };
        // A string is one whether or not it is the null string, and yes and no are the same kind.
        tags.push(match tag {
            b'N' => 't',
            b'0' => '1',
            other => char::from(other),
        });
        rest = &rest[length..];
    }
    tags
}

/// Feeds a capture in pieces of `cut` bytes, and answers everything that comes back. What is to be played is pulled and
/// heard after each frame: the client had waited for the end of its sound before it sent what follows.
fn replay(name: &str, cut: usize) -> Vec<u8> {
    let mut rig = Rig::new();
    let client = rig.connect(true);
    let mut answers = Vec::new();
    let capture = read(name);
    let mut rest = capture.as_slice();
    while let Some(head) = rest.first_chunk::<4>() {
        let length = 20 + usize::try_from(u32::from_be_bytes(*head)).expect("a length");
        let (frame, after) = rest.split_at(length);
        rest = after;
        for part in frame.chunks(cut) {
            let mut part = part;
            while !part.is_empty() {
                let taken = rig.server.handle_input(client, part, rig.now);
                part = &part[taken..];
                answers.extend(output(&mut rig, client));
            }
        }
        rig.drain_events();
        for stream in playing(&rig) {
            while rig.server.pull(stream, &mut [0; 1764], 20_000, rig.now) > 0 {
                rig.pass(Duration::from_millis(10));
            }
        }
        rig.pass(Duration::from_millis(20));
        answers.extend(output(&mut rig, client));
        assert!(rig.server.wants_input(client), "{name} ended: {:?}", rig.events.last());
    }
    answers
}

fn output(rig: &mut Rig, client: ClientId) -> Vec<u8> {
    let output = rig.server.output(client).to_vec();
    rig.server.sent(client, output.len());
    output
}

fn playing(rig: &Rig) -> Vec<PlaybackId> {
    let mut playing = Vec::new();
    for event in &rig.events {
        match event {
            Event::NewPlayback(new) => playing.push(new.id),
            Event::Playback(id, Change::Gone) => playing.retain(|other| other != id),
            _ => {}
        }
    }
    playing
}

/// Every reply of PulseAudio's to which the server has one of the same number must be of the same form.
fn compare(name: &str, unlike: &[u32]) {
    let theirs = replies(&read(&format!("{name}.server")));
    let ours = replies(&replay(&format!("{name}.client"), usize::MAX));
    let mut compared = 0;
    for (sequence, kind, tags) in &theirs {
        if unlike.contains(sequence) {
            continue;
        }
        let reply = ours.iter().find(|reply| reply.0 == *sequence);
        let Some((_, our_kind, our_tags)) = reply else { continue };
        assert_eq!((our_kind, our_tags), (kind, tags), "{name}: reply {sequence}");
        compared += 1;
    }
    assert!(compared >= 3, "{name}: only {compared} replies to compare");
}

#[test]
fn replies_to_real_clients_have_the_form_of_pulseaudios() {
    compare("pactl_info", &[]);
    compare("pacat", &[]);
    compare("parec", &[]);
}

#[test]
fn replies_to_a_real_list_of_everything_have_the_form_of_pulseaudios() {
    let theirs = replies(&read("pactl_list.server"));
    let ours = replies(&replay("pactl_list.client", usize::MAX));
    let numbers = |replies: &[(u32, u32, String)]| replies.iter().map(|reply| (reply.0, reply.1)).collect::<Vec<_>>();
    assert_eq!(numbers(&ours), numbers(&theirs));
    let (mut alike, mut modules) = (0, 0);
    for (our, their) in ours.iter().zip(&theirs) {
        // There is one source more here, and no module.
        let once = |tags: &str| tags.strip_prefix(&their.2).is_some_and(|more| more.is_empty() || more == their.2);
        if once(&our.2) {
            alike += 1;
        } else {
            assert_eq!(our.2, "", "reply {}: theirs is {}", our.0, their.2);
            modules += 1;
        }
    }
    assert_eq!(modules, 1);
    assert!(alike >= 8, "{alike}");
}

#[test]
fn a_real_client_is_understood_however_its_bytes_are_cut() {
    let expected = replies(&replay("pacat.client", usize::MAX));
    for cut in [1, 7, 20, 21, 1000] {
        assert_eq!(replies(&replay("pacat.client", cut)), expected, "pieces of {cut} bytes");
    }
}
