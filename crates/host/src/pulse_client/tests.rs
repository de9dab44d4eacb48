//! A client against servers that are none.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use proptest::prelude::*;

use super::connection::parse;
use super::frames::{Frames, descriptor};
use super::reader::Reader;
use super::*;

/// What becomes of a client whose server does this with the connection.
fn against(server: impl FnOnce(UnixStream) + Send + 'static) -> ClientError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("native");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || server(listener.accept().unwrap().0));
    let error = Client::connect(&[Place::Unix(path)], "test").map(drop).unwrap_err();
    thread.join().unwrap();
    error
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&descriptor(u32::MAX, u32::try_from(body.len()).unwrap())[..], body].concat()
}

#[test]
fn a_server_that_closes_or_refuses_has_not_let_the_user_in() {
    assert!(matches!(against(|mut socket| drop(socket.read(&mut [0; 1]))), ClientError::Denied(_)));
    let refusal = packet(b"L\0\0\0\0L\0\0\0\0L\0\0\0\x01");
    let refused = against(move |mut socket| {
        socket.write_all(&refusal).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    });
    assert!(matches!(refused, ClientError::Denied(_)), "{refused}");
}

#[test]
fn nonsense_is_told_as_such() {
    let says = |bytes: Vec<u8>| {
        against(move |mut socket| {
            // The client may have gone already.
            let _ = socket.write_all(&bytes);
            let _ = socket.read_to_end(&mut Vec::new());
        })
    };
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        packet(b"nonsense"),
        packet(b"L\0\0\0\x02L\0\0\0\0"),
        packet(b"L\0\0\0\x02L\0\0\0\0L\0\0\0\x0c"),
        // Events without end, and no answer.
        packet(b"L\0\0\0\x3dL\xff\xff\xff\xffL\0\0\0\x01L\0\0\0\x01").repeat(10_000),
    ] {
        let told = says(bytes);
        assert!(matches!(told, ClientError::Nonsense(..)), "{told}");
    }
}

#[test]
fn where_nobody_listens_all_places_are_named() {
    let places = [Place::Unix("/nonexistent/a".into()), Place::Unix("/nonexistent/b".into())];
    let told = Client::connect(&places, "test").map(drop).unwrap_err().to_string();
    assert!(told.contains("unix:/nonexistent/a or unix:/nonexistent/b"), "{told}");
}

/// Packets that begin as the protocol's do, so that more than the first tag is tried.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop::sample::select(b"LtNx1BaRrTUmvPVf0".to_vec());
    let piece = (tag, prop::collection::vec(any::<u8>(), 0..12)).prop_map(|(tag, rest)| [vec![tag], rest].concat());
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_a_server_sends_is_a_value_or_an_error(bytes in bytes(), cut in 1_usize..64) {
        let _ = parse(&bytes);
        let _ = (Device::read(&bytes), Module::read_list(&bytes), Timing::of(&bytes));
        let _ = (Playback::read(&bytes), Record::read(&bytes));
        let mut reader = Reader::new(&bytes);
        while reader.skip_props().is_ok() && !reader.rest().is_empty() {}
        let mut frames = Frames::default();
        for part in bytes.chunks(cut) {
            frames.push(part);
            while let Ok(Some(_)) = frames.next() {}
        }
    }
}
