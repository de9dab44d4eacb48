//! A scripted listener for programs that watch the daemon: `listen ADDRESS USER PASSWORD`. Says "listening" once it hears
//! something, and leaves when its standard input ends.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for a check")]

use std::io::Read as _;

use soundpost_testsuite::client::{Client, Options};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, user, password] = arguments.as_slice() else {
        println!("usage: listen ADDRESS USER PASSWORD");
        std::process::exit(2);
    };
    let client = Client::connect(Options::new(address.parse().unwrap(), user, password)).unwrap();
    assert!(client.wait_until(|record| !record.waves.is_empty()), "no sound came");
    println!("listening");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    client.disconnect();
}
