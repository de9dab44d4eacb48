//! `soundpost verify`: the endpoints that ship, as the conformance kit wants them.

mod file;
mod rdp;
mod stock;

use std::process::ExitCode;

use soundpost_testkit::verify::Subject;
use soundpost_verify::VerifyArgs;

pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let held = soundpost_verify::run(args, &shipped(), &["verify"])?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every endpoint that ships.
fn shipped() -> Vec<Box<dyn Subject>> {
    let mut subjects = stock::subjects();
    subjects.extend(file::subjects());
    subjects.push(Box::new(rdp::Rdp));
    subjects
}
