//! Debian packages that tests and fuzzing need: installed where we may, named where we may not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::process;

/// A Debian package, and a program by which one sees that it is there, however it was installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
}

/// What the tests with a real RDP client need.
pub(crate) const REAL_CLIENT: &[Package] = &[
    Package { name: "freerdp2-x11", program: "xfreerdp" },
    Package { name: "xvfb", program: "Xvfb" },
    Package { name: "pulseaudio", program: "pulseaudio" },
    Package { name: "pulseaudio-utils", program: "parec" },
];

/// The applications that are tried with the sound server.
pub(crate) const APPLICATIONS: &[Package] = &[
    Package { name: "pulseaudio-utils", program: "paplay" },
    Package { name: "alsa-utils", program: "aplay" },
    // A plugin is no program on the path: where aplay is there and this is not, its tests say so.
    Package { name: "libasound2-plugins", program: "aplay" },
    Package { name: "ffmpeg", program: "ffmpeg" },
    Package { name: "mpv", program: "mpv" },
    Package { name: "espeak-ng", program: "espeak-ng" },
    Package { name: "chromium", program: "chromium" },
];

/// What the tests against other sound servers need besides.
pub(crate) const SOUND_SERVERS: &[Package] = &[
    Package { name: "pipewire", program: "pipewire" },
    Package { name: "pipewire-pulse", program: "pipewire-pulse" },
    Package { name: "wireplumber", program: "wireplumber" },
    Package { name: "dbus-daemon", program: "dbus-run-session" },
];

/// What libFuzzer, which is C++, needs to be built.
pub(crate) const FUZZING: &[Package] = &[Package { name: "g++", program: "c++" }];

/// What `cargo xtask testdata` encodes with.
pub(crate) const ENCODERS: &[Package] =
    &[Package { name: "flac", program: "flac" }, Package { name: "ffmpeg", program: "ffmpeg" }];

/// Sees to it that all of them are installed. The error says which are missing, and why they could not be installed.
pub(crate) fn ensure(packages: &[Package]) -> Result<(), String> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let names = names(&missing);
    let Some(access) = Access::find() else {
        return Err(format!("{names}: not installed, and only root or passwordless sudo could install them"));
    };
    if !process::on_path("apt-get") {
        return Err(format!("{names}: not installed, and this system has no apt-get"));
    }
    println!("installing {names}");
    install(access, &missing).map_err(|why| format!("{names}: not installed: {why}"))?;
    let still = self::missing(packages);
    if still.is_empty() { Ok(()) } else { Err(format!("{}: installed, but not on the path", self::names(&still))) }
}

/// Those whose program is not on the path.
pub(crate) fn missing(packages: &[Package]) -> Vec<Package> {
    packages.iter().copied().filter(|package| !process::on_path(package.program)).collect()
}

fn names(packages: &[Package]) -> String {
    packages.iter().map(|package| package.name).collect::<Vec<_>>().join(" ")
}

fn install(access: Access, packages: &[Package]) -> Result<(), String> {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages.iter().map(|package| package.name));
    if package_lists_are_there() && process::run(&mut access.apt_get(&arguments)).is_ok() {
        return Ok(());
    }
    process::run(&mut access.apt_get(&["update"]))?;
    process::run(&mut access.apt_get(&arguments))
}

/// Images of containers come without the lists; an install would fail with a confusing message.
fn package_lists_are_there() -> bool {
    let is_list = |name: &str| name.contains("_Packages");
    fs::read_dir("/var/lib/apt/lists")
        .is_ok_and(|lists| lists.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_list)))
}

/// How apt-get may be run.
#[derive(Clone, Copy, Debug)]
enum Access {
    Root,
    Sudo,
}

impl Access {
    fn find() -> Option<Self> {
        let user = fs::metadata(Path::new("/proc/self")).map(|of_us| of_us.uid());
        if user.is_ok_and(|user| user == 0) {
            return Some(Self::Root);
        }
        process::succeeds(Command::new("sudo").args(["-n", "true"])).then_some(Self::Sudo)
    }

    fn apt_get(self, arguments: &[&str]) -> Command {
        let words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"];
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", "env"]);
                command
            }
        };
        command.args(words.iter().skip(1)).args(arguments);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_nowhere_is_missing() {
        let planted = Package { name: "planted", program: "soundpost-no-such-program" };
        let shell = Package { name: "dash", program: "sh" };
        assert_eq!(names(&missing(&[shell, planted])), "planted");
    }

    #[test]
    fn apt_is_asked_without_questions() {
        let command = process::shown(&Access::Sudo.apt_get(&["update"]));
        assert_eq!(command, "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 update");
    }
}
