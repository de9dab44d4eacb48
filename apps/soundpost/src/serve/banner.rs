//! What a user needs next, ready to paste.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::pulse::Found;
use crate::config::Settings;

/// A user's name and password, and whether the password was made for this run.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) made: bool,
}

/// Prints where to connect and how, on standard output.
pub(super) fn print(settings: &Settings, address: Option<SocketAddr>, credentials: &[Credentials], sound: &[Found]) {
    let text = text(settings, address, credentials, sound);
    // Nobody reads it where standard output is closed; that is no reason to end.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let _ = std::io::stdout().lock().flush();
}

fn text(settings: &Settings, address: Option<SocketAddr>, credentials: &[Credentials], sound: &[Found]) -> String {
    let mut text = String::new();
    match address {
        Some(address) => {
            text.push_str(&format!("Soundpost {} listens on {address}\n", env!("CARGO_PKG_VERSION")));
            for one in credentials {
                text.push_str(&connect(reachable(address), one));
            }
        }
        None => text.push_str(&format!("Soundpost {} runs without RDP\n", env!("CARGO_PKG_VERSION"))),
    }
    if let Some(path) = &settings.play {
        let times = if settings.once { "once" } else { "again and again" };
        text.push_str(&format!("\n  plays     {} {times}, from the first listener on\n", path.display()));
    }
    if let Some((path, _)) = &settings.render {
        text.push_str(&format!("  writes    {}\n", path.display()));
    }
    for Found { session, socket, tcp, usual } in sound {
        let whose = if sound.len() > 1 { format!(" into {session}'s session") } else { String::new() };
        let where_else = if *usual { " (where they look by themselves)" } else { "" };
        text.push_str(&format!(
            "\n  sound of applications{whose}{where_else}:\n  PULSE_SERVER=unix:{}\n",
            socket.display()
        ));
        if let Some(tcp) = tcp {
            text.push_str(&format!("  PULSE_SERVER=tcp:{tcp}\n"));
        }
    }
    text.push_str("\nCtrl-C ends it.\n");
    text
}

fn connect(address: SocketAddr, Credentials { user, password, made }: &Credentials) -> String {
    let (shown, given, note) = match made {
        true => (password.as_str(), format!("/p:{password}"), " (made for this run)"),
        // Whoever wrote the password into a file does not want it on the screen; without /p: xfreerdp asks.
        false => ("as in its file", String::new(), ""),
    };
    format!(
        "\n  user      {user}\n  password  {shown}{note}\n  Linux     xfreerdp /v:{address} /u:{user} {given}{space}/cert:tofu \
         /sound:sys:pulse,latency:60\n  Windows   mstsc /v:{address}   then log in as {user}\n",
        space = if given.is_empty() { "" } else { " " },
        user = quoted(user),
    )
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// An address that others can reach: where the server listens on all, the one that this machine's traffic goes out by.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    // Connecting a datagram socket sends nothing; it only asks the routing table. The address is one reserved for
    // documentation, which no machine has.
    let outgoing = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("192.0.2.1:9")?;
        Ok(socket.local_addr()?.ip())
    };
    SocketAddr::new(outgoing().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_password_is_shown_and_one_from_a_file_is_not() {
        let address = "127.0.0.1:3389".parse().unwrap();
        let one = |made| Credentials { user: "anna".into(), password: "geheim".into(), made };
        let shown = connect(address, &one(true));
        assert!(shown.contains("xfreerdp /v:127.0.0.1:3389 /u:anna /p:geheim /cert:tofu"), "{shown}");
        assert!(!connect(address, &one(false)).contains("geheim"));
    }

    #[test]
    fn names_are_quoted_for_a_shell() {
        assert_eq!(quoted("anna-2"), "anna-2");
        assert_eq!(quoted("o'neil x"), r"'o'\''neil x'");
    }
}
