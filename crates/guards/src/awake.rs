//! Whether the guard of a test binary is awake.

use std::process::Command;

/// Set for the run that allocates.
const PLANT: &str = "SOUNDPOST_GUARD_PLANT";

/// For [`crate::install!`]: runs the test `name` of this binary once more, in a process of its own in which a pass
/// allocates, and sees that process abort.
///
/// # Panics
/// When it does not: the binary's allocator is not the guarding one, or the guard is a build that does nothing.
#[expect(clippy::panic, reason = "an assertion for tests")]
pub fn assert_awake(name: &str) {
    if std::env::var_os(PLANT).is_some() {
        crate::no_alloc(&mut || drop(std::hint::black_box(Vec::<u8>::with_capacity(16))));
        return;
    }
    // Test names begin below the crate.
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    let output = std::env::current_exe()
        .and_then(|binary| Command::new(binary).args([name, "--exact", "--nocapture"]).env(PLANT, "1").output());
    let output = match output {
        Ok(output) => output,
        Err(error) => panic!("cannot run this test binary once more: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let caught = said.contains("memory allocation of") || said.contains("RealtimeSanitizer");
    assert!(!output.status.success() && caught, "an allocation in a pass was not noticed: {}: {said}", output.status);
}
