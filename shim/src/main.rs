//! The containerd shim of Coracle. It serves no call yet and says so, rather than pretend.

use std::process::ExitCode;

fn main() -> ExitCode {
    use std::io::Write;
    // A closed stderr leaves nobody to tell; the exit code still says it.
    drop(writeln!(
        std::io::stderr(),
        "containerd-shim-coracle-v1: the containerd task service is not implemented yet; run the image with `coracle run` instead"
    ));
    ExitCode::FAILURE
}
