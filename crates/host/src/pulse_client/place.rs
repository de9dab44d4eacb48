//! Where a sound server is, and what it takes to be let in: as libpulse finds it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The port of a server that listens on TCP.
const PORT: u16 = 4713;
/// Bytes of a cookie.
const COOKIE: usize = 256;

/// A place where a server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host and a port.
    Tcp(String, u16),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// An address of a server that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no address of a sound server: write unix:/PATH, /PATH, tcp:HOST or tcp:HOST:PORT")]
pub struct PlaceError(String);

impl Place {
    /// The places to try, in this order: those of `given` (or of `$PULSE_SERVER`), else the sockets in
    /// `$PULSE_RUNTIME_PATH`, `$XDG_RUNTIME_DIR/pulse`, `/run/user/UID/pulse`, and the system's.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn find(given: Option<&str>) -> Result<Vec<Self>, PlaceError> {
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let uid = rustix::process::geteuid().as_raw();
        find(given, &|name| std::env::var_os(name), uid, machine.trim())
    }

    /// The places in a list as `$PULSE_SERVER` has it: separated by spaces, each perhaps with the id of the machine that
    /// it is meant for before it, in braces.
    fn parse_list(text: &str, machine: &str) -> Result<Vec<Self>, PlaceError> {
        let mut places = Vec::new();
        for word in text.split_whitespace() {
            let address = match word.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                Some((id, _)) if id != machine => continue,
                Some((_, address)) => address,
                None => word,
            };
            places.push(Self::parse(address)?);
        }
        Ok(places)
    }

    fn parse(address: &str) -> Result<Self, PlaceError> {
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        if address.starts_with('/') {
            return Ok(Self::Unix(address.into()));
        }
        let prefixes = ["tcp:", "tcp4:", "tcp6:"];
        let rest = prefixes.iter().find_map(|prefix| address.strip_prefix(prefix)).unwrap_or(address);
        let wrong = || PlaceError(address.to_owned());
        let (host, port) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, "")) => (host, PORT),
            Some((host, port)) => (host, port.strip_prefix(':').and_then(|p| p.parse().ok()).ok_or_else(wrong)?),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
                None => (rest, PORT),
            },
        };
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self::Tcp(host.to_owned(), port))
    }
}

/// What a variable of the environment holds.
type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn find(given: Option<&str>, variable: Variable<'_>, uid: u32, machine: &str) -> Result<Vec<Place>, PlaceError> {
    let server = variable("PULSE_SERVER").map(|text| text.to_string_lossy().into_owned());
    if let Some(list) = given.map(str::to_owned).or(server).filter(|list| !list.trim().is_empty()) {
        let places = Place::parse_list(&list, machine)?;
        return if places.is_empty() { Err(PlaceError(list)) } else { Ok(places) };
    }
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = |home: PathBuf| home.join(format!(".config/pulse/{machine}-runtime"));
    let folders = [
        folder("PULSE_RUNTIME_PATH"),
        folder("XDG_RUNTIME_DIR").map(|path| path.join("pulse")),
        folder("HOME").filter(|_| !machine.is_empty()).map(of_home),
        Some(PathBuf::from(format!("/run/user/{uid}/pulse"))),
        Some(PathBuf::from("/run/pulse")),
    ];
    let mut places: Vec<Place> = Vec::new();
    for path in folders.into_iter().flatten() {
        let place = Place::Unix(path.join("native"));
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

/// The cookie that lets this user in, where a file has one: of `$PULSE_COOKIE`, `$XDG_CONFIG_HOME/pulse/cookie` or
/// `~/.config/pulse/cookie`, `~/.pulse-cookie`. Zeros where there is none: a local server knows this user anyway.
pub(super) fn cookie() -> Vec<u8> {
    let found = cookie_files(&|name| std::env::var_os(name)).iter().find_map(|path| read_cookie(path));
    found.unwrap_or_else(|| vec![0; COOKIE])
}

fn cookie_files(variable: Variable<'_>) -> Vec<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let files = [
        variable("PULSE_COOKIE").map(PathBuf::from),
        config.map(|config| config.join("pulse/cookie")),
        folder("HOME").map(|home| home.join(".pulse-cookie")),
    ];
    files.into_iter().flatten().collect()
}

fn read_cookie(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::with_capacity(COOKIE);
    let most = u64::try_from(COOKIE).ok()?;
    std::fs::File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    (bytes.len() == COOKIE).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    }

    fn unix(path: &str) -> Place {
        Place::Unix(path.into())
    }

    #[test]
    fn an_address_is_read_as_libpulse_reads_it() {
        let read = |text| Place::parse_list(text, "ab12");
        assert_eq!(read("unix:/a/b"), Ok(vec![unix("/a/b")]));
        assert_eq!(
            read("/a  tcp:host {ab12}tcp4:10.0.0.1:99 {ff}unix:/not-here"),
            Ok(vec![unix("/a"), Place::Tcp("host".into(), 4713), Place::Tcp("10.0.0.1".into(), 99)])
        );
        assert_eq!(read("tcp6:[::1]:5"), Ok(vec![Place::Tcp("::1".into(), 5)]));
        assert_eq!(read("box"), Ok(vec![Place::Tcp("box".into(), 4713)]));
        for wrong in ["tcp:", "host:port", "tcp:[::1]x", "host:0", "host:65536"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_places_are_tried_in_libpulses_order() {
        let all = with(&[("PULSE_RUNTIME_PATH", "/p"), ("XDG_RUNTIME_DIR", "/x"), ("HOME", "/h")]);
        let places = find(None, &all, 7, "ab12").unwrap();
        let expected = [
            "/p/native",
            "/x/pulse/native",
            "/h/.config/pulse/ab12-runtime/native",
            "/run/user/7/pulse/native",
            "/run/pulse/native",
        ];
        assert_eq!(places, expected.map(unix));
        let usual = find(None, &with(&[("XDG_RUNTIME_DIR", "/run/user/7")]), 7, "").unwrap();
        assert_eq!(usual, ["/run/user/7/pulse/native", "/run/pulse/native"].map(unix));
        let told = with(&[("PULSE_SERVER", "unix:/s"), ("XDG_RUNTIME_DIR", "/x")]);
        assert_eq!(find(None, &told, 7, "").unwrap(), [unix("/s")]);
        assert_eq!(find(Some("/g"), &told, 7, "").unwrap(), [unix("/g")]);
        assert!(find(Some("{other}unix:/g"), &told, 7, "ab12").is_err());
    }

    #[test]
    fn a_cookie_is_whole_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cookie");
        std::fs::write(&path, [7; 255]).unwrap();
        assert_eq!(read_cookie(&path), None);
        std::fs::write(&path, [7; 300]).unwrap();
        assert_eq!(read_cookie(&path), Some(vec![7; 256]));
        let files = cookie_files(&with(&[("PULSE_COOKIE", "c"), ("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]));
        assert_eq!(files, ["c", "/x/pulse/cookie", "/h/.pulse-cookie"].map(PathBuf::from));
    }
}
