//! Structured logs on standard error; what a user needs next goes to standard output.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::LogFormatArg;

/// rustls warns of every client that sends an address as a name, as most RDP clients do; what symphonia has to say of
/// a file is in the error that it answers with.
const LIBRARIES: &str = "rustls=error,symphonia=off";

/// Sets up logging for the process.
///
/// # Errors
/// The filter's own words where `level` is neither a level nor a filter.
pub(crate) fn start(level: &str, format: LogFormatArg) -> Result<(), String> {
    // A bare level means ours: at debug the libraries below write more than anybody reads.
    let directives = match level {
        "error" | "warn" | "info" => format!("{level},{LIBRARIES}"),
        "debug" | "trace" => {
            format!("info,{LIBRARIES},soundpost={level},soundpost_host={level},soundpost_engine={level}")
        }
        filter => filter.to_owned(),
    };
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| format!("log level {level:?} is neither a level nor a filter: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match format {
        LogFormatArg::Json => builder.json().finish().try_init(),
        LogFormatArg::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).finish().try_init(),
    };
    set.map_err(|error| error.to_string())
}
