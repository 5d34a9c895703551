//! The command `coracle`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    coracle::cli::main()
}
